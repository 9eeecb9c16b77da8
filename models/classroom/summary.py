"""How many answers were right, of all and by child, task and item; who says so is never left open."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from models.classroom.answers import HeardAnswer
from models.clips.corrections import Judgement

Pair = tuple[HeardAnswer, Judgement | None]  # an answer, and what a person said of it


@dataclass(frozen=True)
class Line:
    """A group of answers.

    Attributes
    ----------
    name
        The child, task or item.
    answers
        How many; `by_person` of them a person has judged, `by_model` of the others have a score.
    right_by_person
        Of those that a person has judged.
    right_by_model
        Of those that only the model has judged: the sum of their probabilities.
    words_per_minute
        Words said as expected in a minute of speaking, over the sentences of the group; by the model. None without sentences.
    pauses, pause_seconds
        Of a sentence, how many and how long in all, on average; by the model.
    sentences
        Answers of several words in which the model found words.
    """

    name: str
    answers: int
    by_person: int
    right_by_person: int
    by_model: int
    right_by_model: float
    sentences: int
    words_per_minute: float | None
    pauses: float | None
    pause_seconds: float | None

    @property
    def share_right(self) -> float | None:
        """By the person where there is one, or else by the model; None where nobody knows."""
        judged = self.by_person + self.by_model
        return (self.right_by_person + self.right_by_model) / judged if judged else None


@dataclass(frozen=True)
class Summary:
    """`children` is empty where the table names none."""

    all: Line
    children: tuple[Line, ...]
    tasks: tuple[Line, ...]
    items: tuple[Line, ...]


def summarise(answers: Sequence[HeardAnswer], said: Mapping[int, Judgement]) -> Summary:
    """By child, task and item (an expected text), each in the order of the alphabet.

    Parameters
    ----------
    said
        By row, what people said.
    """
    pairs = [(answer, said.get(row)) for row, answer in enumerate(answers)]
    named = any(answer.child for answer in answers)
    return Summary(
        _line("", pairs),
        _lines(pairs, lambda answer: answer.child) if named else (),
        _lines(pairs, lambda answer: answer.task),
        _lines(pairs, lambda answer: answer.expected_text),
    )


def _lines(pairs: Iterable[Pair], name_of: Callable[[HeardAnswer], str]) -> tuple[Line, ...]:
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(name_of(pair[0]), []).append(pair)
    return tuple(_line(name, groups[name]) for name in sorted(groups, key=lambda name: (name.casefold(), name)))


def _line(name: str, pairs: Sequence[Pair]) -> Line:
    judged = [judgement for _, judgement in pairs if judgement in ("right", "wrong")]
    left = [
        answer.probability
        for answer, said in pairs
        if said not in ("right", "wrong") and answer.probability is not None
    ]
    fluent = [answer.fluency for answer, _ in pairs if answer.fluency is not None]
    n, seconds = len(fluent), sum(each.seconds for each in fluent)
    return Line(
        name=name,
        answers=len(pairs),
        by_person=len(judged),
        right_by_person=judged.count("right"),
        by_model=len(left),
        right_by_model=sum(left),
        sentences=n,
        words_per_minute=60 * sum(each.words_right for each in fluent) / seconds if n else None,
        pauses=sum(len(each.pauses) for each in fluent) / n if n else None,
        pause_seconds=sum(each.pause_seconds for each in fluent) / n if n else None,
    )
