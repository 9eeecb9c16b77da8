"""Make the phonetic encoder from nothing but pip packages. Run with --help."""

import argparse
import functools
from pathlib import Path

from models.base.cli import make_parser, run


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = make_parser(
        "Make the phonetic encoder from nothing but pip packages: speech is synthesised while it trains.\n"
        "Folders of transcribed speech may be mixed in. Stopped, it goes on where it was.",
        "python pretrain_encoder.py --minutes 90 --output tiny",
    )
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


def main(arguments: list[str] | None = None) -> None:
    options = parse_arguments(arguments)
    import torch  # after the command line: these take seconds, which --help does without

    from models.pretrain.pretraining import Pretrainer, new_network
    from models.pretrain.real_speech import held_out_speakers
    from models.pretrain.stream import BatchPlan, BatchStream
    from models.pretrain.validation import print_figures, validation_sets

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
        validation = validation_sets(options.validation, held_out, options.seed)
        trainer.train(stream, options.pause_minutes * 60, functools.partial(print_figures, validation))
    finally:
        stream.close()


if __name__ == "__main__":
    run(main)
