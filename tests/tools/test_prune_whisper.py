"""A Whisper with fewer tokens reads the texts that they suffice for as the whole one does.

Run: .venv/bin/python -m pytest tests/tools/test_prune_whisper.py
"""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import WhisperConfig, WhisperForConditionalGeneration, set_seed

from models.errors import InputError
from models.network.decoder import decode
from models.network.pretrained import load_decoder
from tools import prune_whisper

MARKS = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|transcribe|>", "<|notimestamps|>"]
COMMON, RARE = "We like to play.", "Zebras yawned quizzically."


@pytest.fixture(scope="module")
def whisper_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Whisper with a byte-level BPE, whose first merges are those of the common sentence."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([f" {COMMON}"] * 50 + [f" {RARE}"] * 2, trainer)
    tokenizer.add_special_tokens(MARKS)
    folder, size = tmp_path_factory.mktemp("whisper"), tokenizer.get_vocab_size()
    end, start = (tokenizer.token_to_id(mark) for mark in MARKS[:2])
    set_seed(0)
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    ids = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": start}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    WhisperForConditionalGeneration(WhisperConfig(vocab_size=size, **sizes, **heads, **ids)).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_what_is_kept_is_read_as_before(whisper_dir: Path, tmp_path: Path) -> None:
    n_text = 270
    n_rows = prune_whisper.prune(whisper_dir, tmp_path / "small", n_text)
    (whole, of_whole), (small, of_small) = load_decoder(str(whisper_dir)), load_decoder(str(tmp_path / "small"))
    assert n_rows == small.embed_tokens.num_embeddings == n_text + 5 < whole.embed_tokens.num_embeddings
    assert len(of_small.prompt) == len(of_whole.prompt) == 4  # English, by the name of its token
    tokens = [torch.tensor([tokenizer.encode(COMMON)]) for tokenizer in (of_whole, of_small)]
    assert tokens[0].shape == tokens[1].shape
    heard, mask = torch.randn(1, 7, 16), torch.ones(1, 7, dtype=torch.bool)
    with torch.inference_mode():
        hidden = [
            decode(one.eval(), *each)
            for one, each in zip((whole, small), ((t, heard, mask) for t in tokens), strict=True)
        ]
        torch.testing.assert_close(hidden[1], hidden[0])
        torch.testing.assert_close(small.embed_tokens(tokens[1]), whole.embed_tokens(tokens[0]))


def test_any_text_can_be_written_in_more_pieces(whisper_dir: Path, tmp_path: Path) -> None:
    prune_whisper.prune(whisper_dir, tmp_path / "small", 262)
    (_, whole), (_, small) = load_decoder(str(whisper_dir)), load_decoder(str(tmp_path / "small"))
    for text in (RARE, "naïve", "gheem-tofe"):
        assert len(small.encode(text)) >= len(whole.encode(text))
    assert len(small.encode(RARE)) > len(whole.encode(RARE))
    assert small.words(RARE)[-1] == 3


def test_what_can_not_be_pruned(whisper_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        prune_whisper.prune(tmp_path, tmp_path / "small", 300)
    (tmp_path / "tokenizer.json").write_text(json.dumps({}))
    with pytest.raises(InputError, match=str(tmp_path)):
        prune_whisper.prune(tmp_path, tmp_path / "small", 300)
    with pytest.raises(InputError, match="there already"):
        prune_whisper.main([str(whisper_dir), str(tmp_path)])
    with pytest.raises(SystemExit):
        prune_whisper.main([str(whisper_dir), str(tmp_path / "small"), "--tokens", "20"])
    assert "--tokens 20" in capsys.readouterr().err
    assert not (tmp_path / "small").exists()
