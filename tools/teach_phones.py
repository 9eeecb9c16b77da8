"""A trained verifier -> the same one, which also tells the phones that it hears, so that it knows how words were said."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm, trange

from models.base.cli import make_parser, positive, run
from models.base.compute import resolve_device
from models.clips.csv_files import check_filenames, read_csv
from models.clips.groups import TASKS
from models.ensemble import Checkpoint, load_checkpoint, save_checkpoint
from models.errors import InputError
from models.localize.model import LoadedModel, load_model
from models.network.build import network_settings
from models.network.comparison import half_weights
from models.network.phone_classifier import PhoneClassifier, phone_loss
from models.network.phones import PHONE_CLASSES
from models.network.verifier import VerifierNetwork
from models.speech.audio import read_audio
from models.speech.pronunciation import utterance_of
from models.speech.reading import accepted_readings

SENTENCES = TASKS[-1]  # the task whose texts are told word by word
BATCH_CLIPS = 16
LEARNING_RATE, WEIGHT_DECAY, LARGEST_GRADIENT = 2e-3, 0.01, 1.0


class Recording(NamedTuple):
    """By its name in a table."""

    name: str
    path: Path
    text: str


@dataclass(frozen=True)
class Clip:
    """A recording whose words are known.

    Attributes
    ----------
    frames : float16 [shape=(frames, width)]
        Of the verifier's encoder.
    phones : int64 [shape=(phones,)]
    """

    frames: Tensor
    phones: Tensor


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Teach a verifier to tell phones: a small classifier on its encoder's frames, by connectionist temporal classification. "
        "All other weights stay as they are, and so does every score. What a fold has held out is not taught, so what is said of "
        "it stays a fair measure. Words are read by espeak-ng. About 6 minutes for 2,000 sentences on one core.",
        "python tools/teach_phones.py assets/verifytiny_0.pth --transcripts speech/kids/train_source.csv --output_dir taught",
    )
    parser.add_argument("checkpoints", nargs="+", type=Path, help="one or more verifiers")
    parser.add_argument(
        "--transcripts",
        nargs="+",
        type=Path,
        required=True,
        metavar="CSV",
        help="with the columns filename and spoken_text; audio files lie beside it",
    )
    parser.add_argument("--output_dir", type=Path, required=True, help="where the same file names are written")
    parser.add_argument("--epochs", type=positive, default=5, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    return parser.parse_args()


def read_transcripts(files: Sequence[Path]) -> list[Recording]:
    """What is said in each recording."""
    found = []
    for file in files:
        table = read_csv(file, ("filename", "spoken_text"))
        check_filenames(file, table)
        rows = zip(table["filename"], table["spoken_text"], strict=True)
        found += [Recording(name, file.parent / name, text) for name, text in rows]
    return found


def spoken_phones(text: str) -> list[int]:
    """The classes of a text's phones, in one row.

    Raises
    ------
    InputError
        Where espeak-ng is not installed.
    """
    (reading,) = accepted_readings([utterance_of(SENTENCES, text)])
    return [phone for word in reading for phone in word]


@torch.inference_mode()
def hear(model: LoadedModel, recordings: Sequence[Recording]) -> list[Clip]:
    """The clips that are long enough for their phones."""
    network, found = model.network, list[Clip]()
    assert isinstance(network, VerifierNetwork)
    for one in tqdm(recordings, "hearing", unit=" clips", disable=None):
        phones = torch.tensor(spoken_phones(one.text), dtype=torch.long)
        spectrum = model.spectrum(read_audio(one.path, model.recipe.max_seconds)).to(model.device)
        heard, _ = network.hear(spectrum[None], torch.tensor([spectrum.shape[1]], device=model.device))
        if 0 < len(phones) < heard.shape[1]:
            found.append(Clip(heard[0].half().cpu(), phones))
    return found


def teach(classifier: PhoneClassifier, clips: Sequence[Clip], held_out: Sequence[Clip], epochs: int, seed: int) -> None:
    """In place; after each epoch tells the nats per phone of both."""
    by_length = sorted(clips, key=lambda clip: len(clip.frames))
    batches = [by_length[start : start + BATCH_CLIPS] for start in range(0, len(by_length), BATCH_CLIPS)]
    optimizer = torch.optim.AdamW(classifier.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * len(batches))
    rng = np.random.default_rng(seed)
    for epoch in trange(epochs, desc="teaching", unit=" epochs", disable=None):
        classifier.train()
        losses = []
        for place in rng.permutation(len(batches)):
            optimizer.zero_grad()
            loss = loss_of(classifier, batches[place])
            loss.backward()
            nn.utils.clip_grad_norm_(classifier.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        told = f"epoch {epoch + 1}/{epochs}: {np.mean(losses):.3f} nats per phone"
        tqdm.write(f"{told}, held out {held_out_loss(classifier, held_out):.3f}" if held_out else told)


@torch.inference_mode()
def held_out_loss(classifier: PhoneClassifier, clips: Sequence[Clip]) -> float:
    classifier.eval()
    parts = [clips[start : start + BATCH_CLIPS] for start in range(0, len(clips), BATCH_CLIPS)]
    return float(np.mean([float(loss_of(classifier, part)) for part in parts]))


def loss_of(classifier: PhoneClassifier, clips: Sequence[Clip]) -> Tensor:
    device = classifier.classes.weight.device
    frames = nn.utils.rnn.pad_sequence([clip.frames for clip in clips], batch_first=True).to(device)
    phones = nn.utils.rnn.pad_sequence([clip.phones for clip in clips], batch_first=True).to(device)
    lengths, counts = (
        torch.tensor([len(values) for values in column], device=device)
        for column in ([clip.frames for clip in clips], [clip.phones for clip in clips])
    )
    mask = torch.arange(frames.shape[1], device=device) < lengths[:, None]
    return phone_loss(classifier(frames, mask), lengths, phones, counts)


def taught(checkpoint: Checkpoint, recordings: Sequence[Recording], arguments: argparse.Namespace) -> Checkpoint:
    """The checkpoint with a classifier, taught on what it has not held out."""
    model = load_model(checkpoint, resolve_device(arguments.device))
    network = model.network.requires_grad_(False)
    if not isinstance(network, VerifierNetwork):
        raise InputError(f"{checkpoint.file_name}: no verifier; phones are taught to those alone")
    held = set(checkpoint.oof.filenames) if checkpoint.n_folds > 1 else set[str]()
    parts = [[one for one in recordings if (one.name in held) == asked] for asked in (False, True)]
    clips, held_out = (hear(model, part) for part in parts)
    if not clips:
        raise InputError(f"--transcripts: no recording that {checkpoint.file_name} did not hold out; name others too")
    torch.manual_seed(arguments.seed)
    network.phone_classifier = PhoneClassifier(int(network.encoder.config.d_model), len(PHONE_CLASSES)).to(model.device)
    network.phone_classes, network.phone_names = len(PHONE_CLASSES), PHONE_CLASSES
    teach(network.phone_classifier, clips, held_out, arguments.epochs, arguments.seed)
    return replace(checkpoint, weights=half_weights(network), encoder=network_settings(network))


def main() -> None:
    arguments = parse_arguments()
    recordings = read_transcripts(arguments.transcripts)
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    for checkpoint in [load_checkpoint(path) for path in arguments.checkpoints]:
        path = arguments.output_dir / checkpoint.file_name
        if path.exists():
            print(f"{path}: already there; to teach it anew, move it away")
            continue
        save_checkpoint(path, taught(checkpoint, recordings, arguments))
        print(f"wrote {path}")


if __name__ == "__main__":
    run(main)
