"""`submission.csv` and, beside it, the list of clips that could not be scored."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.base.files import fitting_name, replace_when_done
from models.clips.tables import utterances
from models.errors import InputError
from models.speech.examining import Examined

Priors = Mapping[str, Mapping[str, float]]


def check_output(path: Path) -> None:
    """That a file can be written there, before hours of work are spent on it."""
    if path.is_dir():
        raise InputError(f"--output {path}: is a folder; give the name of a file, such as {path / 'submission.csv'}")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"--output {path}: the folder can't be written to; give another")


def find_unreadable(results: Sequence[Examined | InputError], data_dir: Path) -> dict[int, str]:
    """What is wrong with each row whose clip can't be read.

    Parameters
    ----------
    results
        Of `examine_all`.

    Raises
    ------
    InputError
        Where not one clip can be read.
    """
    problems = {row: str(result) for row, result in enumerate(results) if isinstance(result, InputError)}
    if len(problems) == len(results):
        raise InputError(
            f"--data_dir {data_dir}: none of its {len(results)} clips can be read, the first: {problems[0]}"
        )
    return problems


def find_unspoken(
    table: pd.DataFrame, unspoken: Mapping[str, str], refused: Mapping[str, str], data_dir: Path
) -> dict[int, str]:
    """What is wrong with each row whose expected text can't be spoken or read.

    Parameters
    ----------
    unspoken
        By utterance, of `speaking.complete_references`.
    refused
        By expected text, of `texts.refused_texts`.

    Raises
    ------
    InputError
        Where no row is left.
    """
    pairs = enumerate(zip(utterances(table), table["expected_text"], strict=True))
    found = {row: unspoken.get(utterance) or refused.get(text) for row, (utterance, text) in pairs}
    problems = {row: reason for row, reason in found.items() if reason}
    if len(problems) == len(table):
        raise InputError(
            f"--data_dir {data_dir}: none of its {len(table)} clips can be scored, the first: {problems[0]}"
        )
    return problems


def add_problems(problems: Mapping[int, str], others: Mapping[int, str], n_rows: int) -> dict[int, str]:
    """Both, by row of the table.

    Parameters
    ----------
    others
        By row of what is left of the table without the rows that have problems already.
    """
    left = [row for row in range(n_rows) if row not in problems]
    return dict(sorted({**problems, **{left[row]: reason for row, reason in others.items()}}.items()))


def find_poor(results: Sequence[Examined | InputError], problems: Mapping[int, str], n_rows: int) -> dict[int, str]:
    """What is wrong with the recordings of a table's rows that are scored all the same.

    Parameters
    ----------
    results
        Of `examine_all`, of what is left of the table without the rows that have `problems`.
    """
    left = [row for row in range(n_rows) if row not in problems]
    examined = zip(left, results, strict=True)
    return {row: "; ".join(found.signal) for row, found in examined if isinstance(found, Examined) and found.signal}


def find_corrected(starts: NDArray[np.float64], problems: Mapping[int, str], n_rows: int) -> dict[int, str]:
    """Which of a table's rows count from a later attempt, in words.

    Parameters
    ----------
    starts
        Of `Counted`, of what is left of the table without the rows that have `problems`.
    """
    left = [row for row in range(n_rows) if row not in problems]
    scored = zip(left, starts.tolist(), strict=True)
    return {row: f"self-corrected: scored from {start:.2f} s on" for row, start in scored if start > 0}


def tell_both(some: Mapping[int, str], others: Mapping[int, str]) -> dict[int, str]:
    """What is told of rows in two lists, of some in both."""
    rows = sorted({*some, *others})
    return {row: "; ".join(told[row] for told in (some, others) if row in told) for row in rows}


def with_priors(
    table: pd.DataFrame, scores: NDArray[np.float64], problems: Mapping[int, str], priors: Priors
) -> NDArray[np.float64]:
    """The scores of all rows: those of the clips that could be scored, in order, and the priors of the others."""
    complete = np.array([priors[task][grade] for task, grade in zip(table["task"], table["grade"], strict=True)])
    complete[[row not in problems for row in range(len(table))]] = scores
    return complete


def problems_path(submission: Path) -> Path:
    return submission.with_name(fitting_name(submission.name, ".problems.csv"))


def write_problems(
    submission: Path,
    table: pd.DataFrame,
    scores: NDArray[np.float64],
    problems: Mapping[int, str],
    poor: Mapping[int, str],
) -> None:
    """filename, score, reason, signal of each clip that could not be scored, or not be heard to its end, that count from a later
    attempt (`find_corrected`), or whose recording is poor (`find_poor`); without any, no list is left."""
    path = problems_path(submission)
    rows = sorted({*problems, *poor})
    if not rows:
        path.unlink(missing_ok=True)
        return
    told = {"reason": [problems.get(row, "") for row in rows], "signal": [poor.get(row, "") for row in rows]}
    listed = table.iloc[rows][["filename"]].assign(score=scores[rows], **told)
    with replace_when_done(path) as temporary:
        listed.to_csv(temporary, index=False)


def write_submission(path: Path, table: pd.DataFrame, scores: NDArray[np.float64]) -> None:
    """Rows in the table's order. What was written is read again and checked before it takes its name."""
    with replace_when_done(path) as temporary:
        table[["filename"]].assign(score=scores).to_csv(temporary, index=False)
        check_submission(temporary, table["filename"].tolist())


def check_submission(path: Path, filenames: list[str]) -> None:
    """Check what was written: these rows in this order, each score finite and inside (0, 1).

    Raises
    ------
    InputError
        Unless the file has these rows in this order, each score finite and inside (0, 1).
    """
    found = pd.read_csv(path, dtype={"filename": str}, keep_default_na=False, na_values={"score": ["", "nan"]})
    if list(found.columns) != ["filename", "score"] or found["filename"].tolist() != filenames:
        raise InputError(f"{path.name}: what was written does not hold the wanted rows in their order")
    wrong = ~found["score"].between(0, 1, inclusive="neither")
    if wrong.any():
        name, score = found[wrong].iloc[0]
        raise InputError(f"{path.name}: {int(wrong.sum())} scores are not inside (0, 1), the first {score} of {name!r}")
