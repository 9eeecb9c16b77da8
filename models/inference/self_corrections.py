"""The rule that self-corrections count, for who chooses it: an answer that is wrong as a whole is right where it ends right.

What was said after a pause is scored as if it were a recording of its own, to the recording's end: so who was right first and
then said something else stays wrong.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from models.clips.tables import clip_paths
from models.ensemble.correction import SIMPLEX, Correction
from models.ensemble.metrics import Values
from models.inference.scoring import Member, NetworkOf, chunk_clips, score_clips
from models.inference.texts import find_unheard_rows
from models.speech.attempts import Attempt, later_attempts
from models.speech.audio import Waveform, read_answer

CALLED_RIGHT = 0.5
_CLIPS_AT_ONCE = 256  # whose recordings are held in memory


@dataclass(frozen=True)
class Counted:
    """What counts of each answer.

    Attributes
    ----------
    scores
        Probabilities: float64 [shape=(answers,)].
    starts
        Seconds of the recording from which an answer counts; 0 where all of it does [shape=(answers,)].
    """

    scores: Values
    starts: Values


def counting_attempt(whole: float, attempts: Sequence[float]) -> int | None:
    """Which attempt counts instead of the whole answer, by their probabilities: the best, where it alone is called right."""
    best = max(range(len(attempts)), key=attempts.__getitem__, default=None)
    return best if best is not None and whole < CALLED_RIGHT <= attempts[best] else None


def score_counted(
    members: Sequence[Member],
    table: pd.DataFrame,
    data_dir: Path,
    references: Mapping[str, Waveform],
    device: torch.device,
    precision: str,
    num_workers: int,
    sources: Sequence[Path | Waveform] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    correction: Correction = SIMPLEX,
    network_of: NetworkOf | None = None,
    accept_self_corrections: bool = False,
) -> Counted:
    """As `score_clips`, whose parameters it takes; where self-corrections are accepted, with later attempts.

    Those are scored with others of the same chunk alone, so that a chunk's scores are the same bytes wherever it is scored.
    """
    alike, fitted = (data_dir, references, device, precision), (correction, network_of)
    scores = score_clips(members, table, *alike, num_workers, sources, on_progress, *fitted)
    counted = Counted(scores.copy(), np.zeros(len(table)))
    if not accept_self_corrections:
        return counted
    recordings = clip_paths(data_dir, table["filename"]) if sources is None else sources
    for rows in _row_groups(scores < CALLED_RIGHT, chunk_clips(members)):
        attempts = _heard_attempts(members, table, references, rows, recordings)
        if attempts:
            again = table.iloc[[row for row, _ in attempts]].reset_index(drop=True)
            waveforms = [attempt.waveform for _, attempt in attempts]  # in memory: no processes to load them
            found = score_clips(members, again, *alike, 0, waveforms, lambda done, total: None, *fitted)
            _count(counted, attempts, found)
    return counted


def _row_groups(asked: "np.ndarray[tuple[int], np.dtype[np.bool_]]", chunk: int) -> Iterator[list[int]]:
    """The rows that are asked about, in groups that lie inside of a chunk."""
    for start in range(0, len(asked), chunk):
        rows = (start + np.flatnonzero(asked[start : start + chunk])).tolist()
        yield from (rows[at : at + _CLIPS_AT_ONCE] for at in range(0, len(rows), _CLIPS_AT_ONCE))


def _heard_attempts(
    members: Sequence[Member],
    table: pd.DataFrame,
    references: Mapping[str, Waveform],
    rows: Sequence[int],
    recordings: Sequence[Path | Waveform],
) -> list[tuple[int, Attempt]]:
    """The later attempts of some rows that are heard to their end: what follows a right answer may not be missed."""
    texts = table["expected_text"]
    found = [(row, attempt) for row in rows for attempt in later_attempts(_waveform(recordings[row]), texts.iloc[row])]
    again = table.iloc[[row for row, _ in found]].reset_index(drop=True)
    unheard = find_unheard_rows(members, again, [attempt.seconds for _, attempt in found], references)
    missed = unheard.answers.keys() | unheard.parts.keys()
    return [each for place, each in enumerate(found) if place not in missed]


def _waveform(recording: Path | Waveform) -> Waveform:
    return recording if isinstance(recording, np.ndarray) else read_answer(recording)


def _count(counted: Counted, attempts: Sequence[tuple[int, Attempt]], found: Values) -> None:
    """Put in what counts of the rows that have attempts."""
    for row in dict.fromkeys(row for row, _ in attempts):
        places = [place for place, (own, _) in enumerate(attempts) if own == row]
        best = counting_attempt(counted.scores[row], [found[place] for place in places])
        if best is not None:
            counted.scores[row] = found[places[best]]
            counted.starts[row] = attempts[places[best]][1].start_seconds
