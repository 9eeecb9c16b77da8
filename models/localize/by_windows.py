"""Localization by blocks of the text against windows of the response: method "blocks", for networks of any kind."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from sklearn.isotonic import IsotonicRegression

from models.clips.tables import utterances
from models.ensemble.metrics import Values, sigmoid
from models.errors import InputError
from models.localize.model import LoadedModel, Speak
from models.localize.result import Alignment, Localization, Seconds, Unit
from models.localize.unit_scores import UNLIKELY, Evidence, Probabilities, likeliest_kind, score_evidence
from models.localize.windows import Fit, fit_blocks, needed_texts, pieces_table, speech_seconds, split_units
from models.speech.audio import SAMPLE_RATE_HZ, Waveform

TABLE = "word, blocks"
_COLUMNS_PER_SECOND = 50  # of the picture's matrix
_ROWS_PER_UNIT = 10


def localize_by_blocks(
    model: LoadedModel, text: str, task: str, grade: str, speak: Speak, response: Waveform, pronunciation: str = ""
) -> Localization:
    """Judge each unit of the text by the blocks that hold it; `pronunciation` is the whole text's, where it has been given."""
    said = utterances(pieces_table(needed_texts(text), task, grade, pronunciation))
    references = {utterance: speak(utterance) for utterance in said}
    logit, fits = fit_blocks(model, text, task, grade, references, response, pronunciation)
    if not np.isfinite([logit, *(fit.logit for fit in fits)]).all():
        raise InputError(f"{model.name}: gives scores that are not finite; train it again")
    unit, texts = split_units(text)
    probabilities = score_evidence(TABLE, block_evidence(len(texts), logit, fits))
    end = min(len(response) / SAMPLE_RATE_HZ, model.max_frames / 100)
    spectrum = model.spectrum(response)
    return Localization(
        expected_text=text,
        method="blocks",
        unit=unit,
        probability=float(sigmoid(np.array([logit]))[0]),
        units=_units(texts, probabilities, fits, speech_seconds(response[: int(end * SAMPLE_RATE_HZ)])),
        gap_scores=tuple(probabilities.gaps[:, 0].tolist()),
        response_seconds=end,
        response_log_mel=spectrum.numpy(),
        alignment=_alignment(texts, fits, len(references[said[0]]) / SAMPLE_RATE_HZ, end),
    )


def block_evidence(n_units: int, whole: float, fits: Sequence[Fit]) -> Evidence:
    """Features of each unit and each gap from the best window of every block; fits : of all blocks of a text."""
    best: dict[tuple[int, ...], float] = {}
    for fit in fits:
        best[fit.block.units] = max(fit.logit, best.get(fit.block.units, -np.inf))
    runs = {run: logit for run, logit in best.items() if run[-1] - run[0] == len(run) - 1}
    of_unit = [[logit for run, logit in runs.items() if place in run] for place in range(n_units)]
    top, mean = np.array([max(found) for found in of_unit]), np.array([float(np.mean(found)) for found in of_unit])
    units = {
        "best": top,
        "mean": mean,
        "alone": np.array([best[(place,)] for place in range(n_units)]),
        "skipped": np.array([_skipped(best, place) for place in range(n_units)]),
        "is_end": np.array([float(place in (0, n_units - 1)) for place in range(n_units)]),
        "others_worst": np.array([np.delete(top, place).min(initial=top.max()) for place in range(n_units)]),
        "others_mean": np.array([(mean.sum() - value) / max(1, n_units - 1) for value in mean]),
        "whole": np.full(n_units, whole),
    }
    spanning = np.array([_spanning(best, runs, gap, n_units) for gap in range(n_units + 1)])
    gaps = {name: spanning[:, index] for index, name in enumerate(("spanned", "pair", "sides", "is_end"))}
    gaps |= {"whole": np.full(n_units + 1, whole), "worst": np.full(n_units + 1, top.min())}
    return Evidence(units, gaps)


def _skipped(best: dict[tuple[int, ...], float], place: int) -> float:
    """By how much its neighbours fit better without a unit than with it; 0 at the ends, where there is no such block."""
    without = best.get((place - 1, place + 1))
    if without is None:
        return 0.0
    return without - max(best[place - 1, place], best[place, place + 1])


def _spanning(
    best: dict[tuple[int, ...], float], runs: dict[tuple[int, ...], float], gap: int, n_units: int
) -> tuple[float, float, float, float]:
    """The best block over a gap, the two units beside it, the worse of the best on either side; whether the gap is an end."""
    if gap in (0, n_units):
        return 0.0, 0.0, 0.0, 1.0
    over = max(logit for units, logit in runs.items() if gap - 1 in units and gap in units)
    before = max(logit for units, logit in runs.items() if gap - 1 in units and gap not in units)
    after = max(logit for units, logit in runs.items() if gap in units and gap - 1 not in units)
    return over, best[gap - 1, gap], min(before, after), 0.0


def _units(
    texts: Sequence[str], probabilities: Probabilities, fits: Sequence[Fit], speech: Seconds
) -> tuple[Unit, ...]:
    """Units in order, their borders halfway between their middles, with a mark where something was inserted."""
    kinds = [likeliest_kind(row) for row in probabilities.units]
    borders = _borders(_middles(len(texts), fits), [kind != "missing" for kind in kinds], speech)
    found: list[Unit] = []
    for gap, row in enumerate(probabilities.gaps):
        if row[0] < UNLIKELY:
            at = borders[gap][0] if gap < len(texts) else speech[1]
            found.append(Unit("", "inserted", float(row[0]), at, at))
        if gap < len(texts):
            found.append(Unit(texts[gap], kinds[gap], float(probabilities.units[gap, 0]), *borders[gap]))
    return tuple(found)


def _middles(n_units: int, fits: Sequence[Fit]) -> Values:
    """Seconds at which each unit is spoken, from the best block that holds it, in order."""
    middles = []
    for place in range(n_units):
        holding = [fit for fit in fits if place in fit.block.units and fit.block.skipped is None]
        fit = max(holding, key=lambda fit: fit.logit)
        share = (fit.block.units.index(place) + 0.5) / len(fit.block.units)
        middles.append(fit.start_seconds + share * (fit.end_seconds - fit.start_seconds))
    return np.asarray(IsotonicRegression().fit_transform(np.arange(n_units), middles), np.float64)


def _borders(middles: Values, is_there: Sequence[bool], speech: Seconds) -> list[Seconds]:
    """Start and end of each unit; of one that is missing, both are the end of the one before."""
    said = middles[np.array(is_there, bool)].clip(*speech)
    edges = [speech[0], *((said[1:] + said[:-1]) / 2).tolist(), speech[1]]
    found, seen = [], 0
    for there in is_there:
        found.append((float(edges[seen]), float(edges[seen + there])) if len(said) else (speech[0], speech[0]))
        seen += there
    return found


def _alignment(texts: Sequence[str], fits: Sequence[Fit], reference_seconds: float, end: float) -> Alignment:
    """For each unit and moment the probability of the best block that holds the unit and window that holds the moment."""
    weights = np.zeros((len(texts), max(1, round(end * _COLUMNS_PER_SECOND))), np.float32)
    for fit in fits:
        columns = slice(round(fit.start_seconds * _COLUMNS_PER_SECOND), round(fit.end_seconds * _COLUMNS_PER_SECOND))
        probability = float(sigmoid(np.array([fit.logit]))[0])
        for place in fit.block.units if fit.block.skipped is None else ():
            weights[place, columns] = np.maximum(weights[place, columns], probability)
    edges = np.cumsum([0, *(len(text) for text in texts)]) / sum(len(text) for text in texts) * reference_seconds
    rows = np.repeat(np.arange(len(texts)), [_ROWS_PER_UNIT * len(text) for text in texts])
    return Alignment(weights[rows], "reference", reference_seconds, tuple(pairwise(edges.tolist())))
