"""A folder made of a model in CTranslate2's format, which the test writes. Run: pytest tests/tools/test_get_whisper.py"""

import hashlib
import json
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration, set_seed

from models.errors import InputError
from tools import get_whisper

NUMBERS = {"float32": 0, "int8": 1, "int32": 3, "float16": 4}
WIDTH, HEADS = 8, 2


@pytest.fixture(scope="module")
def whisper() -> WhisperForConditionalGeneration:
    """With decoder layers fewer than the encoder's, as turbo has, and weights that float16 holds."""
    set_seed(0)
    config = WhisperConfig(
        vocab_size=70,
        d_model=WIDTH,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_mel_bins=80,
        max_source_positions=30,
        max_target_positions=20,
        pad_token_id=1,
        bos_token_id=1,
        eos_token_id=1,
        decoder_start_token_id=2,
    )
    model = WhisperForConditionalGeneration(config)
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter).half().float()
    return model


def ctranslate2(model: WhisperForConditionalGeneration) -> dict[str, np.ndarray]:
    """The model's variables by CTranslate2's names, with fused projections and, of keys, a bias of zeros."""
    weights = {name.removeprefix("model."): value.numpy() for name, value in model.state_dict().items()}
    heads = np.array(HEADS, np.int32)
    found: dict[str, np.ndarray] = {"encoder/num_heads": heads, "decoder/num_heads": heads}

    def norm(target: str, name: str) -> None:
        found[f"{target}/gamma"], found[f"{target}/beta"] = weights[f"{name}.weight"], weights[f"{name}.bias"]

    def linear(target: str, *names: str) -> None:
        found[f"{target}/weight"] = np.concatenate([weights[f"{name}.weight"] for name in names])
        found[f"{target}/bias"] = np.concatenate([weights.get(f"{name}.bias", np.zeros(WIDTH, "f4")) for name in names])

    for side, layers in (("encoder", 2), ("decoder", 1)):
        found[f"{side}/position_encodings/encodings"] = weights[f"{side}.embed_positions.weight"]
        norm(f"{side}/layer_norm", f"{side}.layer_norm")
        for layer in range(layers):
            target, name = f"{side}/layer_{layer}", f"{side}.layers.{layer}"
            attentions = {"self_attention": "self_attn"} | ({"attention": "encoder_attn"} if side == "decoder" else {})
            for kind, attention in attentions.items():
                norm(f"{target}/{kind}/layer_norm", f"{name}.{attention}_layer_norm")
                parts = [f"{name}.{attention}.{part}_proj" for part in ("q", "k", "v", "out")]
                fused = [parts[:3], parts[3:]] if kind == "self_attention" else [parts[:1], parts[1:3], parts[3:]]
                for place, projections in enumerate(fused):
                    linear(f"{target}/{kind}/linear_{place}", *projections)
            norm(f"{target}/ffn/layer_norm", f"{name}.final_layer_norm")
            linear(f"{target}/ffn/linear_0", f"{name}.fc1")
            linear(f"{target}/ffn/linear_1", f"{name}.fc2")
    for conv in ("conv1", "conv2"):
        for kind in ("weight", "bias"):
            found[f"encoder/{conv}/{kind}"] = weights[f"encoder.{conv}.{kind}"]
    found["decoder/embeddings/weight"] = weights["decoder.embed_tokens.weight"]
    return found


def pack(variables: dict[str, np.ndarray], specification: str = "WhisperSpec") -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    parts = [struct.pack("<I", 6), text(specification), struct.pack("<II", 3, len(variables))]
    for name, value in variables.items():
        number = NUMBERS[str(value.dtype)]
        parts += [text(name), struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)]
        parts += [struct.pack("<BI", number, value.nbytes), value.tobytes()]
    return b"".join([*parts, struct.pack("<I", 0)])


def tokenizer(tokens: int = 70) -> str:
    vocabulary = {f"t{index}": index for index in range(tokens - 2)}
    added = [{"id": tokens - 2, "content": "<|endoftext|>"}, {"id": tokens - 1, "content": "<|startoftranscript|>"}]
    return json.dumps({"model": {"vocab": vocabulary}, "added_tokens": added})


@pytest.fixture
def source(tmp_path: Path, whisper: WhisperForConditionalGeneration, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as faster-whisper keeps it."""
    monkeypatch.setattr(get_whisper, "END_OF_TEXT", {False: 1})
    folder = tmp_path / "snapshot"
    folder.mkdir()
    halves = {name: value.astype(np.float16) if value.ndim else value for name, value in ctranslate2(whisper).items()}
    (folder / "model.bin").write_bytes(pack(halves))
    (folder / "tokenizer.json").write_text(tokenizer())
    return folder


@pytest.fixture
def get(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def call(*arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", ["get_whisper.py", *map(str, arguments)])
        get_whisper.main()

    return call


def test_the_folder_holds_the_same_model(
    source: Path, tmp_path: Path, whisper: WhisperForConditionalGeneration, get: Callable[..., None]
) -> None:
    sha256 = hashlib.sha256((source / "model.bin").read_bytes()).hexdigest()
    get(source, tmp_path / "made", "--sha256", sha256)
    found, loading = WhisperForConditionalGeneration.from_pretrained(tmp_path / "made", output_loading_info=True)
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
    expected = whisper.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in found.state_dict().items())
    features, tokens = torch.randn(1, 80, 60), torch.tensor([[2, 5, 7, 1]])
    outputs = [model.eval()(features, decoder_input_ids=tokens).logits for model in (found, whisper)]
    torch.testing.assert_close(*outputs)
    assert (tmp_path / "made" / "tokenizer.json").read_text() == tokenizer()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "snapshot"]


def test_eight_bit_weights_are_scaled(
    source: Path, tmp_path: Path, whisper: WhisperForConditionalGeneration, get: Callable[..., None]
) -> None:
    variables = ctranslate2(whisper)
    for name in [name for name in variables if name.endswith("/weight") and variables[name].ndim == 2]:
        scale = 127 / np.abs(variables[name]).max(axis=1)
        variables[name] = np.round(variables[name] * scale[:, None]).astype(np.int8)
        variables[f"{name}_scale"] = scale.astype(np.float32)
    (source / "model.bin").write_bytes(pack(variables))
    get(source, tmp_path / "made")
    found, expected = (
        WhisperForConditionalGeneration.from_pretrained(tmp_path / "made").state_dict(),
        whisper.state_dict(),
    )
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], atol=4 / 127, rtol=0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "tokenizer.json").unlink(), r"tokenizer\.json: missing"),
        (lambda folder: (folder / "tokenizer.json").write_text(tokenizer(71)), r"up to 70, its weights only 70"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), r"can't be read"),
        (lambda folder: (folder / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:-900]), "truncated"),
        (lambda folder: (folder / "model.bin").write_bytes(pack({}, "TransformerSpec")), "expected a Whisper"),
        (lambda folder: (folder / "model.bin").write_bytes(pack({})), "not as CTranslate2 writes a Whisper"),
        (lambda folder: (folder / "model.bin").write_bytes(b"nothing of it"), "snapshot"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(
    change: Callable[[Path], object], message: str, source: Path, tmp_path: Path, get: Callable[..., None]
) -> None:
    change(source)
    with pytest.raises(InputError, match=message):
        get(source, tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot"]


def test_another_checksum_is_refused(source: Path, tmp_path: Path, get: Callable[..., None]) -> None:
    with pytest.raises(InputError, match="damaged, or another file"):
        get(source, tmp_path / "made", "--sha256", "0" * 64)


def test_neither_a_name_nor_a_folder(tmp_path: Path, get: Callable[..., None]) -> None:
    with pytest.raises(InputError, match=r"huge: neither tiny\.en, base nor a folder"):
        get("huge", tmp_path / "made")


def test_nothing_is_overwritten(source: Path, tmp_path: Path, get: Callable[..., None]) -> None:
    (tmp_path / "made").mkdir()
    with pytest.raises(InputError, match="exists"):
        get(source, tmp_path / "made")
