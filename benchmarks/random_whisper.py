"""A whole Whisper of random weights, for who has none at hand: as large, and as fast, as the published one of its size."""

from pathlib import Path

import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from benchmarks.material import SIZES
from models.base.files import PROJECT_DIR, SHIPPED_MODEL
from models.clips.tokens import ENGLISH_TOKENS, tokenizer_from_dict
from models.inference.published import read_published
from models.network.pretrained import TOKENIZER_FILE, quiet


def save_random(folder: Path, size: str) -> str:
    """Write a Whisper of a size of `material.SIZES`, and the tokenizer of the model that comes with the project.

    Its vocabulary is as large as Whisper's; rows that the tokenizer knows nothing of cost as much as others.
    """
    encoder = read_published(PROJECT_DIR / SHIPPED_MODEL).members[0].checkpoint.encoder
    tokenizer = tokenizer_from_dict(encoder["tokenizer"])
    assert tokenizer is not None
    start, end = tokenizer.prompt[0], tokenizer.end
    width, layers, heads = SIZES[size]
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=ENGLISH_TOKENS, d_model=width, decoder_start_token_id=start, pad_token_id=end, bos_token_id=end,
        eos_token_id=end, encoder_layers=layers, decoder_layers=layers, encoder_attention_heads=heads,
        decoder_attention_heads=heads, encoder_ffn_dim=4 * width, decoder_ffn_dim=4 * width,
    )  # fmt: skip
    with quiet():
        WhisperForConditionalGeneration(config).save_pretrained(folder)
    (folder / TOKENIZER_FILE).write_text(tokenizer.content, encoding="utf-8")
    return str(folder)
