"""Scored answers as JSON."""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, Field

from models.localize.result import Alternative, Kind, Unit
from models.service.identity import ModelName
from models.service.service import Result
from models.service.thresholds import Verdict
from models.speech.samples import SAMPLE_RATE_HZ
from models.speech.signal import PROBLEMS, SignalQuality


class Accepted(BaseModel):
    text: str
    probability: float


class MaybeSaid(BaseModel):
    text: str = Field(description="one word or more; empty: nothing was said")
    probability: float


class Word(BaseModel):
    """A word of the expected text, or of a single word a phone; or what was said between, whose text is empty."""

    text: str
    kind: Kind
    score: float = Field(
        description="probability that it was said as expected; of something inserted, that nothing was"
    )
    start_seconds: float | None
    end_seconds: float | None
    said_well: float | None = Field(
        description="how likely it is that people would find it well said, where a model tells"
    )
    heard: str | None = Field(
        description="what was said instead, or in addition; null where that is not known or not sure"
    )
    alternatives: list[MaybeSaid] = Field(description="all that may have been said there, the likeliest first")


class Heard(BaseModel):
    """What the models had to judge by."""

    seconds: float = Field(description="length of the recording")
    transcript: list[MaybeSaid] | None = Field(
        description="the words that a model would write down, without regard to the expected text; null where it can't, or is "
        "not sure of what it hears"
    )
    notes: list[str] = Field(description="sentences: what of it was not heard, or could not be told")


class SignalProblem(BaseModel):
    kind: str = Field(json_schema_extra={"enum": list(PROBLEMS)})
    advice: str = Field(description="what is wrong and what to do, in words for who records")


class Signal(BaseModel):
    """How good the recording is, which has changed no score. Levels are in dB of full scale."""

    level_db: float = Field(description="of the speech")
    snr_db: float | None = Field(description="between the speech and the noise; null where it is too short to tell")
    speech_seconds: float = Field(description="with a voice in it")
    two_voices_seconds: float = Field(description="with two voices at once")
    problems: list[SignalProblem]


class Model(BaseModel):
    name: str
    version: str


class ScoredAnswer(BaseModel):
    probability: float = Field(description="that the answer was right")
    verdict: Verdict
    counted_from_seconds: float | None = Field(
        description="where the service accepts self-corrections: the second of the recording from which the answer counts, 0 "
        "where all of it does; null where it does not accept them"
    )
    text: str = Field(description="the accepted text that fits best; words are its")
    accepted: list[Accepted] = Field(description="each accepted text, as they were sent")
    unit: Literal["word", "phone"] | None = Field(description="what the text was taken apart into")
    words: list[Word] | None = Field(description="null where no model can tell which word went wrong")
    heard: Heard
    signal: Signal
    model: Model


def as_json(result: Result, model: ModelName) -> ScoredAnswer:
    found = result.localization
    return ScoredAnswer(
        probability=round(result.probability, 6),
        verdict=result.verdict,
        counted_from_seconds=result.counted_from_seconds,
        text=result.answer.text,
        accepted=[Accepted(text=text, probability=round(score, 6)) for text, score in result.accepted],
        unit=None if found is None else found.unit,  # type: ignore[arg-type]
        words=None if found is None else [_word(unit) for unit in found.units],
        heard=Heard(
            seconds=round(len(result.response) / SAMPLE_RATE_HZ, 3),
            transcript=None if found is None or found.transcript is None else _maybe_said(found.transcript),
            notes=list(result.notes),
        ),
        signal=_signal(result.signal),
        model=Model(name=model.name, version=model.version),
    )


def _signal(found: SignalQuality) -> Signal:
    problems = [SignalProblem(kind=kind, advice=PROBLEMS[kind]) for kind in found.problems]
    snr_db = None if found.snr_db is None else round(found.snr_db, 1)
    return Signal(
        level_db=round(found.level_db, 1),
        snr_db=snr_db,
        speech_seconds=round(found.speech_seconds, 2),
        two_voices_seconds=round(found.two_voices_seconds, 2),
        problems=problems,
    )


def _word(unit: Unit) -> Word:
    start, end = (None if seconds is None else round(seconds, 3) for seconds in (unit.start_seconds, unit.end_seconds))
    said_well = None if unit.said_well is None else round(unit.said_well, 4)
    return Word(
        text=unit.text,
        kind=unit.kind,
        score=round(unit.score, 4),
        start_seconds=start,
        end_seconds=end,
        said_well=said_well,
        heard=unit.heard,
        alternatives=_maybe_said(unit.alternatives),
    )


def _maybe_said(alternatives: Iterable[Alternative]) -> list[MaybeSaid]:
    return [MaybeSaid(text=each.text, probability=round(each.probability, 4)) for each in alternatives]
