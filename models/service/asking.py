"""What was sent, checked: everything that can be wrong with an answer is found here, before it waits for the networks."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.errors import InputError
from models.inference.answers import Answer, as_table
from models.inference.scorer import Scorer
from models.inference.texts import find_unheard_rows, heard_utterances, refused_texts
from models.service.thresholds import Thresholds
from models.speech.checksums import refuse_older_speech
from models.speech.samples import SAMPLE_RATE_HZ, Waveform, check_is_answer
from models.speech.signal import SignalQuality, measure_signal
from models.speech.written import normal_text

LONGEST_TEXT = 300  # characters
MOST_TEXTS = 10


@dataclass(frozen=True)
class Question:
    """A recording that can be scored, once with each text that is accepted.

    Attributes
    ----------
    notes
        What is not heard of it, in sentences.
    signal
        How good the recording is.
    """

    answers: tuple[Answer, ...]
    thresholds: Thresholds
    explained: bool
    notes: tuple[str, ...]
    signal: SignalQuality


def ask(
    scorer: Scorer,
    waveform: Waveform,
    texts: Sequence[str],
    task: str,
    grade: str,
    thresholds: Thresholds,
    pronunciations: Sequence[str] = (),
    explained: bool = True,
) -> Question:
    """Check as `Service.ask` tells; its parameters."""
    check_is_answer(waveform)
    if not 1 <= len(texts) <= MOST_TEXTS:
        raise InputError(f"{len(texts)} accepted texts; give 1 to {MOST_TEXTS}")
    if pronunciations and len(pronunciations) != len(texts):
        raise InputError(
            f"{len(texts)} texts and {len(pronunciations)} pronunciations; give one for each text, which may be empty, or none"
        )
    given = zip(texts, pronunciations or [""] * len(texts), strict=True)
    answers = [Answer(waveform, check_text(text), task, grade, said.strip()) for text, said in given]
    answers = [scorer.with_pronunciation(answer) for answer in answers]
    seconds = len(waveform) / SAMPLE_RATE_HZ
    notes = dict.fromkeys(note for answer in answers if (note := _check_hearing(scorer, answer, seconds)))
    return Question(tuple(answers), thresholds, explained, tuple(notes), measure_signal(waveform))


def check_text(text: str) -> str:
    """The expected text, in one line.

    Raises
    ------
    InputError
        Where it is empty, too long, or holds control characters.
    """
    line = " ".join(normal_text(text).split())
    if not line:
        raise InputError("type the text that was expected", "no text")
    if len(line) > LONGEST_TEXT:
        told = f"the expected text has {len(line)} characters; {LONGEST_TEXT} are the most"
        raise InputError(told, "long text", characters=len(line), most=LONGEST_TEXT)
    if not line.isprintable():
        raise InputError("the expected text holds characters that can't be printed; type it anew")
    return line


def is_text(text: str) -> bool:
    """Whether `check_text` takes it."""
    try:
        return bool(check_text(text))
    except InputError:
        return False


def _check_hearing(scorer: Scorer, answer: Answer, seconds: float) -> str:
    """What the models don't hear of an answer, in a sentence; raises InputError where they can't judge it at all."""
    members, table = scorer.published.members, as_table([answer])
    said = heard_utterances(members, table)
    refuse_older_speech([(answer.text, each) for each in said], scorer.published.trained_with)
    reasons = [*refused_texts(members, [answer.text]).values(), *scorer.speak(said).values()]
    if reasons:
        raise InputError(reasons[0])
    unheard = find_unheard_rows(members, table, [seconds], scorer.references(said))
    if unheard.answers:
        raise InputError(unheard.answers[0])
    told = unheard.parts.get(0, "")
    return f"{told[0].upper()}{told[1:]}." if told else ""
