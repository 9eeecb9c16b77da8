"""What a verifier says of a text that it has read with an answer: what localization by tokens begins with."""

from dataclasses import dataclass

from models.ensemble.metrics import Values


@dataclass(frozen=True)
class ReadText:
    """What a verifier says of one text, in logits.

    Attributes
    ----------
    whole
        Of the whole answer.
    least : [shape=(words,)]
        Of each word's tokens the lowest: was it said?
    likely : [shape=(words + 1,)]
        Of each word's tokens, and of the end, the lowest log-probability, in the network's units: would it be written down after
        those before it?
    likely_means : [shape=(words + 1,)]
        The mean of these log-probabilities.
    gaps : [shape=(words + 1,)]
        Was nothing said before each word, and before the end, that the text lacks?
    end
        Was that all?
    """

    whole: float
    least: Values
    likely: Values
    likely_means: Values
    gaps: Values
    end: float
