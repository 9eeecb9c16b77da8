"""Many scored answers, as HTML: how many there are of each kind, the first of them, and all as a file to download."""

import base64
from collections import Counter
from collections.abc import Sequence

from models.classroom.answers import HeardAnswer, scores_table
from models.page.html import escape
from models.page.phrases import Phrases
from models.service.service import to_csv

SHOWN_ROWS = 20  # the rest is in the file
_COLUMNS = ("file", "task", "item", "grade", "probability", "verdict", "problem")


def batch_html(answers: Sequence[HeardAnswer], list_address: str, say: Phrases) -> str:
    """A summary of many answers, the first of them, and the whole as a file to download.

    Parameters
    ----------
    list_address
        Where a person works through them; empty where there are too many.
    """
    counts = Counter(answer.verdict for answer in answers)
    told = {verdict: counts[verdict] for verdict in ("right", "wrong", "review")}
    failed = sum(answer.problem != "" for answer in answers)
    encoded = base64.b64encode(to_csv(scores_table(answers))).decode()
    more = say("first_rows", shown=SHOWN_ROWS, total=len(answers)) if len(answers) > SHOWN_ROWS else ""
    return (
        f'<section class="stc-box" aria-live="polite" aria-label="{escape(say("results"))}">'
        f"<p><strong>{escape(say('counts', answers=len(answers), failed=failed, **told))}</strong></p>"
        f"{_list_link(list_address, say)}"
        f'<a class="stc-download" download="scores.csv" href="data:text/csv;base64,{encoded}">{escape(say("download"))}</a>'
        f"{_rows(answers[:SHOWN_ROWS], say)}"
        f"{f'<p>{escape(more)}</p>' if more else ''}"
        "</section>"
    )


def _list_link(address: str, say: Phrases) -> str:
    link = f'<a class="stc-download" href="{escape(address)}" target="_blank">{escape(say("title"))}</a> '
    return link if address else ""


def _rows(answers: Sequence[HeardAnswer], say: Phrases) -> str:
    header = "".join(f'<th scope="col">{escape(say(name))}</th>' for name in _COLUMNS)
    lines = (f"<tr>{''.join(f'<td>{cell}</td>' for cell in _cells(answer, say))}</tr>" for answer in answers)
    return (
        f'<div class="stc-table" tabindex="0" role="region" aria-label="{escape(say("scores"))}">'
        f"<table><thead><tr>{header}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cells(answer: HeardAnswer, say: Phrases) -> list[str]:
    """As HTML, one for each of the columns."""
    probability = "" if answer.probability is None else say.number(answer.probability, 3)
    verdict = say(f"verdict: {answer.verdict}") if answer.verdict else ""
    asked = (answer.filename, say(answer.task), answer.expected_text, answer.grade, probability, verdict)
    english = " ".join([answer.problem, *answer.notes]).strip()
    recording = " ".join(say("of_recording", told=say(f"signal: {problem}")) for problem in answer.signal)
    return [*map(escape, asked), f'<span lang="en">{escape(english)}</span> {escape(recording)}']
