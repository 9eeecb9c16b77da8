"""Draw docs/localization.png: another synthetic voice says something else than expected, and the shipped encoder says where."""

import argparse
from pathlib import Path

import numpy as np
import torch

from models.base.cli import run
from models.base.files import replace_when_done
from models.localize.localization import localize
from models.localize.model import LoadedModel
from models.localize.picture import as_png, draw
from models.network.pretrained import pretrained_network
from models.recipe import Recipe
from models.speech.audio import Waveform, resample
from models.speech.espeak import SAMPLE_RATE_HZ, Espeak
from models.speech.voices import EspeakVoice

PAUSE = np.zeros(4000, np.float32)  # 250 ms


def say(text: str) -> Waveform:
    """In another voice, pace and pitch than the reference's."""
    with Espeak() as espeak:
        utterance = espeak.speak(text, "en-us+f3", 140, 65)
    return np.concatenate([PAUSE, resample(utterance.samples / np.float32(32768), SAMPLE_RATE_HZ), PAUSE])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python experiments/draw_localization.py",
    )
    parser.add_argument(
        "--expected", default="my brother found a big bone in the old garden", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--said", default="my brother lost a bone in the old school garden", help="(default: %(default)s)"
    )
    parser.add_argument("--encoder", default="assets/encoders/phonetic-tiny", help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("docs/localization.png"), help="(default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Recipe(name="shipped", encoder=options.encoder, pooling="alignment", seed=0, data_seed=0, max_seconds=16.0)
    model = LoadedModel("shipped", pretrained_network(recipe).eval(), recipe, torch.device("cpu"))
    response, speak = say(options.said), EspeakVoice(0.7).speak
    found = localize(model, options.expected, "sentence_repetition", "1", response, speak)
    with replace_when_done(options.output) as temporary:
        temporary.write_bytes(as_png(draw(found)))
    print("\n".join(f"{unit.kind:10}{unit.score:6.2f}  {unit.text}" for unit in found.units))


if __name__ == "__main__":
    run(main)
