"""Make a Whisper encoder with random weights: a stand-in where no pretrained one can be had."""

import argparse
import logging
from pathlib import Path

SIZES = {  # d_model, layers, heads, as OpenAI's models of these names; phonetic: as the one that this project ships
    "nano": (64, 2, 2),
    "phonetic": (256, 4, 4),
    "tiny": (384, 4, 6),
    "base": (512, 6, 8),
    "small": (768, 12, 12),
    "medium": (1024, 24, 16),
}


def save_random_encoder(folder: Path, size: str, seed: int) -> None:
    """Write a Whisper encoder of a known size to `folder`, as `save_pretrained` does."""
    from transformers import WhisperConfig, set_seed
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    width, layers, heads = SIZES[size]
    config = WhisperConfig(
        d_model=width,
        encoder_layers=layers,
        encoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_layers=0,
    )
    set_seed(seed)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    WhisperEncoder(config).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python tools/make_encoder.py demo/encoder")
    parser.add_argument("folder", type=Path, help="where to write it")
    parser.add_argument(
        "--size", choices=SIZES, default="nano", help="as the Whisper of this name (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random weights (default: %(default)s)")
    arguments = parser.parse_args()
    save_random_encoder(arguments.folder, arguments.size, arguments.seed)
    print(f"wrote {arguments.folder}")


if __name__ == "__main__":
    main()
