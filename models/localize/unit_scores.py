"""From evidence to probabilities: was a unit said as expected, left out, or replaced; was something added in a gap?

Multinomial logistic regressions with few coefficients. `coefficients.json` holds them, with the command that made them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from models.ensemble.metrics import Values
from models.localize.edits import Gains
from models.localize.result import Kind

WEIGHTS_FILE = Path(__file__).with_name("coefficients.json")
UNIT_CLASSES = ("right", "missing", "different")
GAP_CLASSES = ("right", "inserted")
LEAST_GAIN = -60.0  # in nats, of any edit
UNLIKELY = 0.5  # a score below it is not "right"
USUAL_WIDTH = 512  # of verifiers: whisper-base's
TELLING = ", phones"  # at the very end of the names of tables for verifiers that tell phones
WRITING = ", transcripts"  # at the end of the names of tables for verifiers that write down what they hear


@dataclass(frozen=True)
class Evidence:
    """Named features of each expected unit [shape=(units,)] and of each gap [shape=(units + 1,)]."""

    units: dict[str, Values]
    gaps: dict[str, Values]


@dataclass(frozen=True)
class Probabilities:
    """What each unit and each gap is likely to be.

    Attributes
    ----------
    units : [shape=(units, 3)]
        Of UNIT_CLASSES; gaps : [shape=(units + 1, 2)] of GAP_CLASSES.
    """

    units: Values
    gaps: Values


def phone_features(gains: Gains, phone_counts: Values, gap_frames: Values, known: Values) -> Evidence:
    """Features of the gains of every edit.

    Parameters
    ----------
    gap_frames
        How long what might be inserted is.
    known : bool
        Of units and gaps, what is settled and explains nothing any more.
    """
    missing, different, swapped, inserted = (
        gain.double().numpy() for gain in (gains.missing, gains.different, gains.swapped, gains.inserted)
    )
    of_unit = np.maximum(np.maximum(missing, different), swapped)
    competing = np.where(known, -np.inf, np.concatenate([of_unit, inserted]))
    elsewhere = signed_log(_best_of_others(competing).clip(min=LEAST_GAIN))
    units = {
        "missing": signed_log(missing),
        "different": signed_log(different),
        "swapped": signed_log(swapped),
        "elsewhere": elsewhere[: len(of_unit)],
        "phones": np.log1p(phone_counts),
    }
    gaps = {
        "inserted": signed_log(inserted),
        "elsewhere": elsewhere[len(of_unit) :],
        "frames": np.log1p(gap_frames),
    }
    return Evidence(units, gaps)


def score_evidence(table: str, evidence: Evidence) -> Probabilities:
    """Probabilities from evidence, by a table of coefficients.

    Parameters
    ----------
    table
        A key of `coefficients.json`, which says what features it needs.
    """
    return Probabilities(
        class_probabilities(table, "units", evidence.units), class_probabilities(table, "gaps", evidence.gaps)
    )


def likeliest_kind(probabilities: Values) -> Kind:
    """Of a unit, from its row of `Probabilities.units`."""
    if probabilities[0] >= UNLIKELY:
        return "right"
    return "missing" if probabilities[1] > probabilities[2] else "different"


def signed_log(values: Values) -> Values:
    """Large gains differ less than small ones."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)), np.float64)


def _best_of_others(values: Values) -> Values:
    order = np.argsort(values)
    best = np.full(len(values), values[order[-1]])
    best[order[-1]] = values[order[-2]]
    return best


def table_of_width(name: str, width: int, *suffixes: str) -> str:
    """The coefficients for networks of a width, which answer on their own scale: with the first suffix that there are any with.

    Of widths that there are none for, those of the usual one.
    """
    own = [f"{name}, width {width}{suffix}" for suffix in (*suffixes, "")]
    return next((table for table in own if table in _tables()), f"{name}, width {USUAL_WIDTH}")


def class_probabilities(table: str, part: str, features: Mapping[str, Values]) -> Values:
    """Probabilities of the classes of a part of a table: float64 [shape=(rows, classes)]."""
    return apply_coefficients(_tables()[table][part], features)


def apply_coefficients(fitted: Mapping[str, Any], features: Mapping[str, Values]) -> Values:
    """Probabilities of the classes: float64 [shape=(rows, classes)]."""
    columns = np.stack([features[name] for name in fitted["features"]], axis=1)
    logits = columns @ np.array(fitted["weights"]).T + np.array(fitted["bias"])
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    return dict(json.loads(WEIGHTS_FILE.read_text(encoding="utf-8"))["tables"])
