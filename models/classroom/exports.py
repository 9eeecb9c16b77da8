"""The answers as a table for spreadsheets and statistics: what the model says and what a person says, in columns of their own."""

import csv
import io
from collections.abc import Mapping, Sequence

from models.classroom.answers import HeardAnswer
from models.clips.corrections import Judgement

_COLUMNS = (
    *("filename", "child", "task", "expected_text", "grade", "model_probability", "model_verdict", "person"),
    *("model_words", "model_words_right", "model_words_correct_per_minute", "model_pauses", "model_pause_seconds"),
    *("seconds", "problem", "note", "signal"),
)


def answers_csv(answers: Sequence[HeardAnswer], said: Mapping[int, Judgement]) -> bytes:
    """As UTF-8 with a byte order mark, without which spreadsheets take it for another encoding.

    Columns that begin with `model_` are the model's; `person` is "right", "wrong", "skipped", or empty where nobody has listened.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row, answer in enumerate(answers):
        writer.writerow(_cells(answer, said.get(row, "")))
    return stream.getvalue().encode("utf-8-sig")


def _cells(answer: HeardAnswer, said: str) -> list[str]:
    asked = [answer.filename, answer.child, answer.task, answer.expected_text, answer.grade]
    fluency = answer.fluency
    words = (
        [""] * 5
        if fluency is None
        else [
            *(str(fluency.words), str(fluency.words_right), f"{fluency.words_correct_per_minute:.1f}"),
            *(str(len(fluency.pauses)), f"{fluency.pause_seconds:.2f}"),
        ]
    )
    told = [_number(answer.seconds, 2), answer.problem, " ".join(answer.notes), answer.signal_in_words]
    return [*asked, _number(answer.probability, 4), answer.verdict, said, *words, *told]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
