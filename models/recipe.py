"""A recipe: everything that makes one model of the ensemble differ from another. Needs no torch."""

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args, get_origin

from models.errors import InputError

# The models of the published ensemble, in the order of the design's table; `train.py` trains them by default.
PUBLISHED = (
    "model3mapd",
    "model3mcp",
    "model3mb",
    "model3scp",
    "model3dsap",
    "model2m",
    "model2dm",
    "model2s",
    "model2ds",
    "model1m",
)


Layout = Literal["joined", "matched", "apart", "text"]


def _setting(text: str, **default: Any) -> Any:
    return field(metadata={"help": text}, **default)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One model: encoder, pooling, head, optimisation, augmentation. A recipe script states what differs from the defaults.

    A run's random seed is `seed + fold`; `data_seed` draws the folds.
    """

    name: str = _setting("name of the model, and of its checkpoints")
    encoder: str = _setting("Whisper encoder: a Hugging Face hub id, or a folder written by save_pretrained")
    pooling: Literal["mean", "attention", "attention+mean", "alignment", "tokens"] = _setting(
        "what becomes one vector; alignment: frames of reference and response, encoded apart and compared; tokens: those of the "
        "expected text, which a decoder reads while it hears the response; the others: frames of both as one input"
    )
    joint: Literal["plain", "matched"] = _setting(
        "how a joint input is read; plain: as published, for encoders as large as Whisper's; matched: for small ones, each side "
        "is heard by itself, and every frame is compared with its counterpart on the other side before pooling",
        default="plain",
    )
    seed: int = _setting("random seed of fold 0; fold k uses seed + k")
    data_seed: int = _setting("random seed of the folds")
    head: str = _setting(
        "layers after pooling: linear, or hidden-N for a hidden layer of N units, or hidden-d for one as wide as the encoder",
        default="linear",
    )
    head_init_std: float | None = _setting(
        "standard deviation of the head's initial weights; PyTorch's own initialisation if not given", default=None
    )
    dropout: float = _setting("dropout probability before the head", default=0.4)
    dropout_on: Literal["frames", "pooled"] = _setting("what dropout acts on", default="frames")
    batch_size: int = _setting("clips per optimiser step, over all devices", default=16)
    epochs: int = _setting("epochs to train", default=4)
    schedule_epochs: int = _setting("epochs that the learning-rate schedule is laid out for", default=4)
    schedule_cycles: float = _setting("cosine cycles over the schedule: 0.5 ends at zero, 0.25 at half", default=0.5)
    warmup: float = _setting("share of the schedule over which the learning rate rises", default=0.0)
    learning_rate: float = _setting("peak learning rate", default=1e-5)
    head_learning_rate: float | None = _setting("the head's, where it is another", default=None)
    weight_decay: float = _setting("AdamW weight decay; never on biases, layer norms or the head", default=1e-3)
    token_loss: float = _setting(
        "weight of a second loss, on each token of a word that --word_labels calls right or wrong, or that was drawn",
        default=0.0,
    )
    drawn_texts: int = _setting(
        "wrong texts, drawn anew in each epoch, that are read with each right answer beside its own (tokens only)",
        default=0,
    )
    drawn_loss: float = _setting(
        "weight of a third loss: a right answer fits its own text better than drawn ones", default=0.0
    )
    transcription_loss: float = _setting(
        "weight of a fourth loss: the next token of the text of a right answer, which teaches to write down what was heard "
        "(tokens only)",
        default=0.0,
    )
    joined_answers: float = _setting(
        "share of the clips in whose place two right answers are heard: right where both texts are asked for, wrong where one of "
        "them is (tokens only)",
        default=0.0,
    )
    max_grad_norm: float = _setting("gradient clipping: the largest total norm", default=1.0)
    augment: Literal["both", "response", "rooms", "none"] = _setting(
        "which segments are augmented in training; rooms: the response, and as if recorded among other voices, with "
        "reverberation, overloaded, by telephone, from afar",
        default="both",
    )
    padding: Literal["batch", "fixed"] = _setting(
        "how joint inputs become a batch; batch: padded to the longest, and the padding has no effect; "
        "fixed: padded with silence to max_seconds, which is read as well, as published",
        default="batch",
    )
    max_seconds: float = _setting("longest input, reference and response together, in seconds", default=16.0)

    def __post_init__(self) -> None:
        for setting in fields(self):
            _check_choice(setting.name, getattr(self, setting.name), setting.type)
        head_width(self.head, 1)
        for name in ("batch_size", "epochs", "schedule_epochs", "learning_rate", "schedule_cycles", "max_grad_norm"):
            _require(0 < getattr(self, name) < math.inf, name, getattr(self, name), "must be greater than 0 and finite")
        for name in (
            "weight_decay",
            "seed",
            "data_seed",
            "token_loss",
            "drawn_texts",
            "drawn_loss",
            "transcription_loss",
        ):
            _require(0 <= getattr(self, name) < math.inf, name, getattr(self, name), "must be at least 0 and finite")
        _require(0 <= self.dropout < 1, "dropout", self.dropout, "must lie in [0, 1)")
        _require(0.1 <= self.max_seconds <= 30, "max_seconds", self.max_seconds, "must lie in [0.1, 30], as in Whisper")
        _require(self.epochs <= self.schedule_epochs, "epochs", self.epochs, "must not exceed schedule_epochs")
        _require(0 <= self.warmup < 1, "warmup", self.warmup, "must lie in [0, 1)")
        head_rate = self.head_learning_rate
        _require(
            head_rate is None or 0 < head_rate < math.inf,
            "head_learning_rate",
            head_rate,
            "must be greater than 0 and finite",
        )
        is_joint = self.layout in ("joined", "matched")
        _require(
            is_joint or self.padding != "fixed", "padding", self.padding, f"is for joint inputs, not {self.pooling}"
        )
        is_text = self.layout == "text"
        for name in ("token_loss", "drawn_texts", "transcription_loss"):
            _require(is_text or not getattr(self, name), name, getattr(self, name), "is for pooled tokens")
        _require(self.drawn_texts > 0 or not self.drawn_loss, "drawn_loss", self.drawn_loss, "needs drawn_texts")
        _require(0 <= self.joined_answers <= 1, "joined_answers", self.joined_answers, "must lie in [0, 1]")
        _require(
            self.drawn_texts > 0 or not self.joined_answers, "joined_answers", self.joined_answers, "needs drawn_texts"
        )
        _require(not is_text or self.head == "linear", "head", self.head, "must be linear where tokens are pooled")
        _require(self.name.isidentifier(), "name", self.name, "must consist of letters, digits and underscores")

    @property
    def layout(self) -> Layout:
        """What the network reads: both sides as one input, or knowing them apart; as two inputs; the response and the text."""
        if self.pooling == "tokens":
            return "text"
        if self.pooling == "alignment":
            return "apart"
        return "matched" if self.joint == "matched" else "joined"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def recipe_from_dict(values: dict[str, Any]) -> Recipe:
    """The inverse of `Recipe.to_dict`. What was written before there was a choice of padding is read as it was trained."""
    was_fixed = values.get("joint") == "plain" and values.get("pooling") != "alignment"
    try:
        return Recipe(**{"padding": "fixed" if was_fixed else "batch", **values})
    except TypeError as error:
        raise InputError(f"not a recipe: {error}") from error


def head_width(head: str, encoder_width: int) -> int | None:
    """The width of a head's hidden layer, or None for a linear head."""
    if head == "linear":
        return None
    if head == "hidden-d":
        return encoder_width
    kind, _, width = head.partition("-")
    _require(
        kind == "hidden" and width.isdecimal() and int(width) > 0, "head", head, "must be linear, hidden-d or hidden-N"
    )
    return int(width)


def _check_choice(name: str, value: object, kind: object) -> None:
    if get_origin(kind) is Literal:
        _require(value in get_args(kind), name, value, f"must be one of {', '.join(get_args(kind))}")


def _require(condition: bool, name: str, value: object, rule: str) -> None:
    if not condition:
        raise InputError(f"recipe setting {name}={value!r}: {rule}")
