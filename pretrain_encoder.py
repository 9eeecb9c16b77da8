"""Make the phonetic encoder from nothing but pip packages: `python pretrain_encoder.py --minutes 90 --output tiny`.

Speech is synthesised while it trains; folders of transcribed speech may be mixed in. Stopped, it goes on where it was.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from models.errors import InputError
from models.pretrain.pretraining import Pretrainer, new_network
from models.pretrain.real_speech import held_out_speakers
from models.pretrain.stream import BatchPlan, BatchStream
from models.pretrain.validation import TrialSet, edited_trials, labelled_trials, report, synthetic_trials


@dataclass(frozen=True)
class Validation:
    """The sets of pairs that are judged at each pause, by name."""

    sets: dict[str, TrialSet]

    def pause(self, trainer: Pretrainer, losses: dict[str, float]) -> None:
        clock, model = trainer.clock, trainer.model.eval()
        audio_hours = clock.audio_seconds / 3600
        print(f"{clock.seconds / 60:.1f} min, step {clock.step}, {audio_hours:.1f} h of audio: {_listed(losses)}")
        for name, trials in self.sets.items():
            figures = report(trials.trials, trials.logits(model))
            responses = sorted({trial.response for trial in trials.trials})
            figures["phone error rate"] = trials.phone_error_rate(model, responses)
            print(f"  {name} ({len(trials.trials)} pairs): {_listed(figures)}", flush=True)
        model.train()


def _listed(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in figures.items())


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True, help="training time; the learning rate falls over it")
    parser.add_argument("--output", type=Path, required=True, help="folder for the snapshot and encoder/")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="for training; synthesis takes one more process")
    parser.add_argument("--real_speech", type=Path, nargs="*", default=[], metavar="DIR", help="transcribed recordings")
    parser.add_argument("--real_share", type=float, default=0.6, help="of responses, once all is mixed in")
    parser.add_argument(
        "--validation",
        type=Path,
        metavar="DIR",
        help="labelled recordings, in the layout that tools/make_speechocean.py writes",
    )
    parser.add_argument("--validation_speakers", type=int, default=10, help="of that folder, kept out of training")
    parser.add_argument("--pause_minutes", type=float, default=5.0, help="between snapshots")
    parser.add_argument("--frames", type=int, default=8000, help="spectrogram frames in a batch")
    return parser.parse_args(arguments)


def build_validation(options: argparse.Namespace, speakers: frozenset[str]) -> Validation:
    sets = {"synthetic": synthetic_trials(60, options.seed)}
    if options.validation is not None:
        sets["people, own pairs"] = labelled_trials(options.validation, speakers)
        sets["people, edits"] = edited_trials(options.validation, speakers, options.seed)
    return Validation(sets)


def main(arguments: list[str] | None = None) -> None:
    options = parse_arguments(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    held_out: frozenset[str] = frozenset()
    if options.validation is not None:
        held_out = held_out_speakers(options.validation, options.validation_speakers)
    trainer = Pretrainer(new_network(), options.output, options.minutes)
    if trainer.resume():
        print(f"going on from step {trainer.clock.step}")
    plan = BatchPlan(
        options.seed + trainer.clock.step, options.frames, tuple(options.real_speech), held_out, options.real_share
    )
    stream = BatchStream(plan)
    try:
        stream.set_progress(trainer.progress)
        validation = build_validation(options, held_out)
        trainer.train(stream, options.pause_minutes * 60, validation.pause)
    finally:
        stream.close()


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
