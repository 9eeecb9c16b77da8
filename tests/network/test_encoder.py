"""Loading Whisper encoders: any file that holds one, the decoder left out, positions cut.

Run: .venv/bin/python -m pytest tests/network/test_encoder.py
"""

import json
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, WhisperConfig, WhisperForConditionalGeneration, WhisperModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from models.errors import InputError
from models.network.decoder import ARCHITECTURE as DECODER_PARTS
from models.network.decoder import build_decoder
from models.network.encoder import ARCHITECTURE as ENCODER_PARTS
from models.network.encoder import architecture, build_encoder, encode, encoder_frames, encoder_lengths
from models.network.pretrained import load_encoder


@pytest.fixture(scope="module")
def pretrained(encoder_dir: Path) -> WhisperEncoder:
    return WhisperForConditionalGeneration.from_pretrained(encoder_dir).get_encoder()


@pytest.mark.parametrize("kind", ["generation", "bare model", "bare encoder", "float16", "sharded"])
def test_weights_are_the_pretrained_ones(
    kind: str, encoder_dir: Path, pretrained: WhisperEncoder, tmp_path: Path
) -> None:
    folder = tmp_path / "saved"
    model = WhisperForConditionalGeneration.from_pretrained(encoder_dir)
    if kind == "bare model":
        WhisperModel.from_pretrained(encoder_dir).save_pretrained(folder)
    elif kind == "bare encoder":
        model.get_encoder().save_pretrained(folder)
    elif kind == "float16":
        model.half().save_pretrained(folder)
    else:
        model.save_pretrained(folder, max_shard_size="10KB" if kind == "sharded" else "5GB")
    if kind == "sharded":
        assert len(list(folder.glob("*.safetensors"))) > 1
    encoder = load_encoder(str(folder), 3000)
    tolerance = 1e-3 if kind == "float16" else 0
    for name, tensor in pretrained.state_dict().items():
        found = encoder.state_dict()[name]
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, tensor, atol=tolerance, rtol=tolerance)


def test_the_decoder_is_not_kept(encoder_dir: Path) -> None:
    assert not [name for name in load_encoder(str(encoder_dir), 1600).state_dict() if "decoder" in name]


def test_positions_are_the_first_pretrained_rows(encoder_dir: Path, pretrained: WhisperEncoder) -> None:
    encoder = load_encoder(str(encoder_dir), 1600)
    assert encoder.embed_positions.weight.shape == (800, 16)
    assert torch.equal(encoder.embed_positions.weight, pretrained.embed_positions.weight[:800])
    assert not encoder.embed_positions.weight.requires_grad
    assert encode(encoder, torch.zeros(2, 80, 1600)).shape == (2, 800, 16)


def test_full_length_output_is_transformers_own(encoder_dir: Path, pretrained: WhisperEncoder) -> None:
    log_mel = torch.randn(1, 80, 3000)
    with torch.no_grad():
        expected = pretrained.eval()(log_mel).last_hidden_state
        torch.testing.assert_close(encode(load_encoder(str(encoder_dir), 3000).eval(), log_mel), expected)


@pytest.mark.parametrize("n_frames", [1, 2, 77, 400])
def test_padding_is_shut_out(encoder_dir: Path, n_frames: int) -> None:
    """A clip gives the same frames alone and in a batch, whatever lies beyond its end."""
    encoder = load_encoder(str(encoder_dir), 1600).eval()
    log_mel = torch.randn(2, 80, 400)
    with torch.no_grad():
        together = encode(encoder, log_mel, torch.tensor([n_frames, 400]))
        alone = encode(encoder, log_mel[:1, :, :n_frames], torch.tensor([n_frames]))
        whole = encode(encoder, log_mel[1:])
    assert alone.shape[1] == encoder_frames(n_frames) == int(encoder_lengths(torch.tensor([n_frames])))
    torch.testing.assert_close(together[:1, : alone.shape[1]], alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(together[1:], whole, atol=1e-5, rtol=0)


def test_sums_along_the_layers_lie_in_order_of_memory(encoder_dir: Path) -> None:
    """Else every norm copies them, and a GPU spends a third of its time on that."""
    encoder, seen = load_encoder(str(encoder_dir), 100), []
    for layer in encoder.layers:
        layer.self_attn_layer_norm.register_forward_pre_hook(lambda _, given: seen.append(given[0].is_contiguous()))
        layer.final_layer_norm.register_forward_pre_hook(lambda _, given: seen.append(given[0].is_contiguous()))
    encode(encoder, torch.randn(2, 80, 51), torch.tensor([51, 30]))
    assert seen == [True] * 2 * len(encoder.layers)


def test_architecture_is_plain_and_builds_the_same_encoder(encoder_dir: Path) -> None:
    encoder = load_encoder(str(encoder_dir), 1600)
    again = build_encoder(json.loads(json.dumps(architecture(encoder))))
    again.load_state_dict(encoder.state_dict(), strict=True)
    log_mel = torch.randn(1, 80, 1600)
    with torch.no_grad():
        torch.testing.assert_close(encode(again.eval(), log_mel), encode(encoder.eval(), log_mel), atol=0, rtol=0)


def test_more_positions_than_there_are_is_refused(encoder_dir: Path) -> None:
    with pytest.raises(InputError, match="max_seconds"):
        load_encoder(str(encoder_dir), 3002)


def test_without_network_the_error_tells_how_to_get_the_weights() -> None:
    with pytest.raises(InputError, match="openai/whisper-medium") as error:
        load_encoder("openai/whisper-medium", 1600)
    assert "hf download openai/whisper-medium" in str(error.value)
    assert "--encoder" in str(error.value)


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/at/all", "a/b/c"])
def test_a_folder_that_is_not_there_is_named(source: str) -> None:
    with pytest.raises(InputError, match=source):
        load_encoder(source, 1600)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    BertModel(BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, vocab_size=9)).save_pretrained(
        tmp_path
    )
    with pytest.raises(InputError, match="bert"):
        load_encoder(str(tmp_path), 1600)


def test_weights_without_an_encoder_are_refused(encoder_dir: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_text((encoder_dir / "config.json").read_text())
    weights = load_file(encoder_dir / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if "encoder.layers.1." not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="lack"):
        load_encoder(str(tmp_path), 1600)


def test_damaged_weights_are_refused(encoder_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((encoder_dir / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((encoder_dir / "model.safetensors").read_bytes()[:5000])
    with pytest.raises(InputError, match=str(tmp_path)):
        load_encoder(str(tmp_path), 1600)


def test_dropout_is_where_transformers_has_it() -> None:
    """In encoder and decoder, each probability another."""
    rates = {"dropout": 0.1, "attention_dropout": 0.2, "activation_dropout": 0.3, "encoder_layerdrop": 0.4}
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
    sizes |= {
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "vocab_size": 60,
        "pad_token_id": 0,
    }
    config = WhisperConfig(**sizes, **rates, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3)
    theirs = WhisperModel(config)
    encoder = build_encoder({name: getattr(config, name) for name in ENCODER_PARTS})
    decoder = build_decoder({name: getattr(config, name) for name in DECODER_PARTS})
    assert encoder.layerdrop == theirs.encoder.layerdrop == 0.4
    for ours, other in ((encoder, theirs.encoder), (decoder, theirs.decoder)):
        layer, expected = ours.layers[0], other.layers[0]
        found = (ours.dropout, layer.dropout, layer.activation_dropout, layer.self_attn.dropout)
        assert found == (other.dropout, expected.dropout, expected.activation_dropout, expected.self_attn.dropout)
    assert decoder.layers[0].encoder_attn.dropout == theirs.decoder.layers[0].encoder_attn.dropout == 0.2
