"""Expected texts as Whisper's tokens, written as it writes: a capital first, a full stop last."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer

from models.errors import InputError
from models.speech.pronunciation import without_capitals
from models.speech.written import plain_word

ENGLISH_TOKENS = 51_864  # of the English-only models, whose tokenizers name languages all the same
START, LANGUAGE, END = "<|startoftranscript|>", "<|en|>", "<|endoftext|>"


@dataclass(frozen=True)
class TextTokenizer:
    """Whisper's tokenizer, for texts that a decoder is given whole: start tokens, the text, the end token.

    Attributes
    ----------
    content
        Of a tokenizer.json.
    vocabulary
        Rows of the decoder's embedding.
    most_tokens
        Of the decoder's positions.
    """

    content: str
    vocabulary: int
    most_tokens: int

    @property
    def prompt(self) -> list[int]:
        """The start tokens; models that know several languages are told the language and the task too."""
        names = [START, "<|notimestamps|>"]
        if self.vocabulary != ENGLISH_TOKENS and _read(self.content).token_to_id(LANGUAGE) is not None:
            names[1:1] = [LANGUAGE, "<|transcribe|>"]
        return [self._special(name) for name in names]

    @property
    def end(self) -> int:
        """The token that ends a text."""
        return self._special(END)

    @property
    def silent(self) -> frozenset[int]:
        """Rows of the embedding that stand for no text: the marks, and rows without a token."""
        return _silent(self.content, self.vocabulary)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without blanks around it."""
        return str(_read(self.content).decode(list(tokens))).strip()

    def encode(self, text: str) -> list[int]:
        """All the decoder is fed.

        Raises
        ------
        InputError
            Naming a text that has no word or more than the decoder takes, or that holds what the tokenizer does not know.
        """
        if not text.strip():
            raise InputError("an expected text is empty")
        if not any(sign.isalnum() for sign in text):
            raise InputError(f"the text {text[:60]!r} has no word that could be said")
        tokenizer, fed = _read(self.content), _as_written(text)
        found = tokenizer.encode(fed, add_special_tokens=False).ids
        if tokenizer.decode(found).strip() != fed.strip() or not _marks(self.content).isdisjoint(found):
            raise InputError(
                f"the text {text[:60]!r} holds signs that the model's tokenizer does not know, or its own marks"
            )
        tokens = [*self.prompt, *found, self.end]
        if len(tokens) > self.most_tokens:
            raise InputError(
                f"the text {text[:60]!r}… takes {len(tokens)} tokens with the start and end, and the model reads "
                f"{self.most_tokens} at most; cut it into sentences"
            )
        return tokens

    def encode_if_taken(self, text: str) -> list[int] | None:
        """As `encode`; None for a text that it refuses."""
        try:
            return self.encode(text)
        except InputError:
            return None

    def words(self, text: str) -> list[int]:
        """Which word of a text each token of `encode` belongs to, from 0; the number of words for the end, -1 for the prompt."""
        fed = _as_written(text)
        starts = [start for start, _ in _read(self.content).encode(fed, add_special_tokens=False).offsets]
        return [*[-1] * len(self.prompt), *(_word_at(fed, start) for start in starts), len(fed.split())]

    def check(self, source: str, start: int) -> None:
        """Check that it is the tokenizer of the weights it came with.

        Parameters
        ----------
        start
            Their start token.

        Raises
        ------
        InputError
            Naming `source`.
        """
        highest = max(_read(self.content).get_vocab(with_added_tokens=True).values())
        if highest >= self.vocabulary or self._special(START) != start:
            raise InputError(
                f"{source}: its tokenizer.json is of another Whisper than its weights (tokens up to {highest}, start "
                f"{self._special(START)}; the weights have {self.vocabulary}, start {start}); get both from one place"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def _special(self, name: str) -> int:
        token = _read(self.content).token_to_id(name)
        if token is None:
            raise InputError(f"the tokenizer has no {name}: it is no Whisper's")
        return int(token)


def tokenizer_from_dict(values: Mapping[str, Any] | None) -> TextTokenizer | None:
    """The inverse of `TextTokenizer.to_dict`; None of None."""
    return None if values is None else TextTokenizer(**values)


def _as_written(text: str) -> str:
    """As a sentence stands in Whisper's transcripts, which it judges better than bare lower case or signs it seldom writes."""
    sentence = " ".join(map(plain_word, text.split()))
    if text.isupper() or _is_title(text):
        sentence = without_capitals(sentence.upper())
    stop = "." if sentence[-1].isalnum() else ""
    return f" {sentence[:1].upper()}{sentence[1:]}{stop}"


def _is_title(text: str) -> bool:
    """Whether no word begins with a small letter; two may be somebody's name."""
    words = text.split()
    return len(words) > 2 and not any(word[0].islower() for word in words)


def _word_at(text: str, place: int) -> int:
    """Index of the word that a character belongs to; a blank belongs to the word behind it."""
    inside = place > 0 and not text[place - 1].isspace() and not text[place].isspace()
    return len(text[:place].split()) - inside


@lru_cache(maxsize=4)
def _marks(content: str) -> frozenset[int]:
    """The tokens that stand for no text; there are 1,600, and the library makes them anew each time it is asked."""
    return frozenset(_read(content).get_added_tokens_decoder())


@lru_cache(maxsize=4)
def _silent(content: str, vocabulary: int) -> frozenset[int]:
    written = set(_read(content).get_vocab(with_added_tokens=False).values()) - _marks(content)
    return frozenset(range(vocabulary)) - written


@lru_cache(maxsize=4)
def _read(content: str) -> Tokenizer:
    try:
        return Tokenizer.from_str(content)
    except Exception as error:  # the library raises no narrower one
        raise InputError(f"a tokenizer.json can't be read ({error}); get it again") from error
