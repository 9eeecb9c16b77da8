"""Answers as TextGrids, the annotations of Praat: their words with times and scores.

The format: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html. A double quote is written twice; a backslash
begins one of Praat's own signs, so it is written as Praat's sign for it.
"""

import io
import zipfile
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from models.classroom.answers import HeardAnswer
from models.clips.corrections import Judgement
from models.localize.result import Unit

ENDING = ".TextGrid"
_SHORTEST_SECONDS = 0.001  # of an interval

Interval = tuple[float, float, str]


def textgrids_zip(answers: Sequence[HeardAnswer], said: Mapping[int, Judgement]) -> bytes:
    """A TextGrid for each answer that was scored, named as its recording, in its folder."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for row, answer in enumerate(answers):
            if answer.seconds is not None:
                archive.writestr(_free_name(answer.filename, archive.NameToInfo), textgrid(answer, said.get(row)))
    return content.getvalue()


def textgrid(answer: HeardAnswer, said: Judgement | None) -> str:
    """Of an answer that was scored. Tiers: its words, the score and kind of each, what has no length (missing words, and what was
    inserted at one point), and the whole.

    Raises
    ------
    ValueError
        Where it was not scored.
    """
    if answer.seconds is None:
        raise ValueError(f"{answer.filename} was not scored")
    placed = [unit for unit in answer.units if unit.start_seconds is not None]
    spans = _in_turn((unit for unit in placed if unit.kind != "missing"), answer.seconds)
    spanned = {id(unit) for _, unit in spans}
    others = [unit for unit in placed if id(unit) not in spanned]
    told = [f"text: {answer.expected_text}"]
    if answer.probability is not None:
        told.append(f"model: {answer.probability:.3f} {answer.verdict}")
    if said is not None:
        told.append(f"person: {said}")
    tiers = [
        _interval_tier("words", [(*span, unit.text or "+") for span, unit in spans], answer.seconds),
        _interval_tier("scores", [(*span, _told(unit)) for span, unit in spans], answer.seconds),
        _point_tier("departures", others, answer.seconds),
        _interval_tier("answer", [(0.0, answer.seconds, "; ".join(told))], answer.seconds),
    ]
    head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", *_range(answer.seconds)]
    lines = [*head, "tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for place, tier in enumerate(tiers, 1):
        lines += [f"    item [{place}]:", *(f"        {line}" for line in tier)]
    return "\n".join(lines) + "\n"


def _told(unit: Unit) -> str:
    heard = f", heard: {unit.heard}" if unit.heard else ""
    return f"{unit.score:.3f} {unit.kind}{heard}"


def _in_turn(units: Iterable[Unit], seconds: float) -> list[tuple[tuple[float, float], Unit]]:
    """Times that follow each other inside the recording; what has no length is left out, as Praat does."""
    found, last = [], 0.0
    for unit in sorted(units, key=lambda unit: unit.start_seconds or 0.0):
        start, end = unit.start_seconds or 0.0, min(seconds, unit.end_seconds or 0.0)
        start = start if start - last >= _SHORTEST_SECONDS else last
        end = end if seconds - end >= _SHORTEST_SECONDS else seconds
        if end - start >= _SHORTEST_SECONDS:
            found.append(((start, end), unit))
            last = end
    return found


def _interval_tier(name: str, intervals: Sequence[Interval], seconds: float) -> list[str]:
    """Filled up, as a tier covers the whole recording."""
    whole, last = [], 0.0
    for start, end, text in intervals:
        whole += [(last, start, "")] if start > last else []
        whole.append((start, end, text))
        last = end
    whole += [(last, seconds, "")] if seconds > last else []
    lines = [
        'class = "IntervalTier"',
        f"name = {_quoted(name)}",
        *_range(seconds),
        f"intervals: size = {len(whole)}",
    ]
    for place, (start, end, text) in enumerate(whole, 1):
        lines += [
            f"intervals [{place}]:",
            f"    xmin = {start:.6g}",
            f"    xmax = {end:.6g}",
            f"    text = {_quoted(text)}",
        ]
    return lines


def _point_tier(name: str, units: Sequence[Unit], seconds: float) -> list[str]:
    """Several at one place, which a tier can't have, share a point."""
    points: dict[float, list[str]] = {}
    for unit in units:
        points.setdefault(round(min(unit.start_seconds or 0.0, seconds), 3), []).append(
            f"{unit.kind} {unit.text}".strip()
        )
    lines = ['class = "TextTier"', f"name = {_quoted(name)}", *_range(seconds), f"points: size = {len(points)}"]
    for place, time in enumerate(sorted(points), 1):
        lines += [f"points [{place}]:", f"    number = {time:.6g}", f"    mark = {_quoted('; '.join(points[time]))}"]
    return lines


def _range(seconds: float) -> list[str]:
    return ["xmin = 0", f"xmax = {seconds:.6g}"]


def _quoted(text: str) -> str:
    line = " ".join(text.split()).replace("\\", "\\bs").replace('"', '""')
    return f'"{line}"'


def _free_name(filename: str, taken: Container[str]) -> str:
    """The recording's name with another ending, or behind its own where that is taken; inside the archive wherever it leads."""
    parts = [part for part in PurePosixPath(filename.replace("\\", "/")).parts if part not in ("/", "..", ".")]
    path = PurePosixPath(*(parts or ["answer"]))
    short, name = str(path.with_suffix(ENDING)), f"{path}{ENDING}"
    return name if short in taken else short
