"""Blocks of the expected text against sliding windows of the response, through a network that only says right or wrong.

A block is a run of up to three units, spoken by the voice that the network knows. A unit that was said is in some block that fits
some window; of two units with something between them, no block that holds both fits. A block that leaves a unit out fits where
that unit is missing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from models.clips.batches import Clip
from models.clips.dataset import ComparisonDataset
from models.clips.tables import utterances
from models.ensemble.metrics import Values
from models.localize.model import LoadedModel
from models.speech.audio import SAMPLE_RATE_HZ, Waveform

MOST_UNITS = 3  # of a block
_PACES = (0.8, 1.25)  # lengths of the windows, in those that the clip's pace lets expect
_MARGIN_SECONDS = 0.05  # on both sides of a window
_LEAST_HOP_SECONDS = 0.08
_STRAY = 0.3  # of the response, that a block may lie off its place in the text
_SLOWEST, _FASTEST = 2.0, 0.4  # the response's pace against the reference's
_SILENCE_DB = 35.0  # below the loudest 20 ms
_CLIPS_AT_ONCE = 16
_SYLLABLE = re.compile(r"[^aeiouy]*[aeiouy]+(?:[^aeiouy]+$|[^aeiouy](?=[^aeiouy]))?|[^aeiouy]+$", re.IGNORECASE)


@dataclass(frozen=True)
class Block:
    """A piece of the text.

    Attributes
    ----------
    units
        Which of the text's; consecutive, or two with one left out between them.
    """

    text: str
    units: tuple[int, ...]

    @property
    def skipped(self) -> int | None:
        return self.units[0] + 1 if len(self.units) == 2 and self.units[1] - self.units[0] == 2 else None


@dataclass(frozen=True)
class Fit:
    """A block against a window of the response."""

    block: Block
    start_seconds: float
    end_seconds: float
    logit: float


def split_units(text: str) -> tuple[str, tuple[str, ...]]:
    """ "word" and the words, or of a single word "syllable" and its syllables by their letters."""
    words = text.split()
    if len(words) > 1:
        return "word", tuple(words)
    syllables = tuple(_SYLLABLE.findall(words[0]))
    return "syllable", syllables if "".join(syllables) == words[0] else (words[0],)


def text_blocks(text: str) -> list[Block]:
    """Every block of a text; the voice has to speak their texts, and the whole."""
    unit, units = split_units(text)
    between = " " if unit == "word" else ""
    runs = [
        tuple(range(start, start + length))
        for length in range(1, min(MOST_UNITS, len(units)) + 1)
        for start in range(len(units) - length + 1)
    ]
    skips = [(place - 1, place + 1) for place in range(1, len(units) - 1)]
    return [Block(between.join(units[place] for place in run), run) for run in [*runs, *skips]]


def needed_texts(text: str) -> list[str]:
    """All that the voice has to speak for a text, each once."""
    return list(dict.fromkeys([text, *(block.text for block in text_blocks(text))]))


def fit_blocks(
    model: LoadedModel,
    text: str,
    task: str,
    grade: str,
    references: Mapping[str, Waveform],
    response: Waveform,
    pronunciation: str = "",
) -> tuple[float, list[Fit]]:
    """The logit of the whole, and every block against every window.

    Parameters
    ----------
    references
        Of the utterances of `needed_texts`, at 16 kHz.
    pronunciation
        The whole text's, where it has been given.
    """
    speech = speech_seconds(response)
    blocks, n_units = text_blocks(text), len(split_units(text)[1])
    said = utterances(pieces_table([text, *(block.text for block in blocks)], task, grade, pronunciation))
    whole = speech_seconds(references[said[0]])
    pace = float(np.clip((speech[1] - speech[0]) / max(0.1, whole[1] - whole[0]), _FASTEST, _SLOWEST))
    tried = [
        (block, start, end)
        for block, utterance in zip(blocks, said[1:], strict=True)
        for start, end in _windows(len(references[utterance]) / SAMPLE_RATE_HZ * pace, _place(block, n_units), speech)
    ]
    cuts = [response[int(start * SAMPLE_RATE_HZ) : int(end * SAMPLE_RATE_HZ)] for _, start, end in tried]
    table = pieces_table([text, *(block.text for block, _, _ in tried)], task, grade, pronunciation)
    logits = pair_logits(model, table, references, [response, *cuts])
    fits = [Fit(*window, logit) for window, logit in zip(tried, logits[1:].tolist(), strict=True)]
    return float(logits[0]), fits


def _place(block: Block, n_units: int) -> float:
    """Of the middle of a block in the text, 0 to 1."""
    return (block.units[0] + block.units[-1] + 1) / 2 / n_units


def _windows(seconds: float, place: float, speech: tuple[float, float]) -> list[tuple[float, float]]:
    """Windows of about so many seconds around a place in the speech; at least one."""
    first, last = speech
    found = []
    for pace in _PACES:
        length = min(seconds * pace, last - first)
        hop = max(_LEAST_HOP_SECONDS, length / 4)
        n_hops = int(np.ceil((last - first - length) / hop))
        for start in np.linspace(first, last - length, n_hops + 1):
            middle = (start + length / 2 - first) / (last - first)
            if abs(middle - place) <= _STRAY:
                found.append((max(0.0, start - _MARGIN_SECONDS), start + length + _MARGIN_SECONDS))
    middle = first + place * (last - first)
    return found or [(max(0.0, middle - seconds / 2), middle + seconds / 2)]


def speech_seconds(waveform: Waveform) -> tuple[float, float]:
    """Where speech begins and ends, by its level."""
    frame = SAMPLE_RATE_HZ // 50
    padded = np.pad(waveform, (0, -len(waveform) % frame)).reshape(-1, frame)
    level = (padded**2).mean(axis=1)
    loud = np.flatnonzero(level > level.max() * 10 ** (-_SILENCE_DB / 10))
    if not len(loud):
        return 0.0, len(waveform) / SAMPLE_RATE_HZ
    return loud[0] / 50, min((loud[-1] + 1) / 50, len(waveform) / SAMPLE_RATE_HZ)


def pieces_table(texts: Sequence[str], task: str, grade: str, pronunciation: str = "") -> pd.DataFrame:
    """A text and its pieces as metadata; the text comes first, and has the pronunciation."""
    table = pd.DataFrame({"filename": "window", "task": task, "expected_text": list(texts), "grade": grade})
    return table.assign(pronunciation=[pronunciation if text == texts[0] else "" for text in texts])


@torch.inference_mode()
def pair_logits(
    model: LoadedModel, table: pd.DataFrame, references: Mapping[str, Waveform], responses: Sequence[Waveform]
) -> Values:
    """The network's logit for each pair of a row's reference and a response: float64 [shape=(pairs,)]."""
    recipe = model.recipe
    dataset = ComparisonDataset(
        table, Path(), references, model.n_mels, model.max_frames, layout=recipe.layout, padding=recipe.padding
    )
    clips: list[Clip] = [dataset.make_clip(row, response) for row, response in enumerate(responses)]
    order = sorted(range(len(clips)), key=lambda row: dataset.frames_read(clips[row]))
    logits = np.empty(len(clips))
    for start in range(0, len(order), _CLIPS_AT_ONCE):
        rows = order[start : start + _CLIPS_AT_ONCE]
        batch = dataset.collate([clips[row] for row in rows])
        arguments = {name: tensor.to(model.device) for name, tensor in batch.items() if name != "labels"}
        logits[rows] = model.network(**arguments)["logits"].double().cpu().numpy()
    return logits
