"""Make a Whisper smaller: keep the most frequent tokens of its vocabulary.

    python tools/prune_whisper.py whisper-tiny.en whisper-tiny.en-8k --tokens 8192

A byte-pair encoding learns its merges in order of their frequency, so the first of them are kept: any text can still be
written, rare words in more pieces, which training makes familiar. In whisper-tiny half of all weights are rows of the vocabulary.
The new folder serves a verifier's --encoder as any Whisper does. Tokens of other languages and of times are gone.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import GenerationConfig, WhisperForConditionalGeneration

from models.base.cli import positive, run
from models.clips.tokens import END, START, TextTokenizer
from models.errors import InputError
from models.network.pretrained import TOKENIZER_FILE, how_to_get, quiet

LEAST_TOKENS = 512  # the bytes, and a few of the commonest pieces


def prune_tokenizer(content: dict[str, Any], prompt: list[int], n_tokens: int) -> tuple[dict[str, Any], list[int]]:
    """The content of a tokenizer.json with fewer tokens, and which rows of the embedding they are.

    Parameters
    ----------
    prompt
        The start tokens, which are kept, as is the end.
    n_tokens
        Of text: bytes, and the first merges.
    """
    vocabulary: dict[str, int] = content["model"]["vocab"]
    special = {token["id"]: token for token in content["added_tokens"]}
    end = next(number for number, token in special.items() if token["content"] == END)
    merges, made = content["model"]["merges"], set[str]()
    kept_merges = []
    of_bytes = {token for token, number in vocabulary.items() if len(token) == 1 and number not in special}
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if len(of_bytes) + len(made) >= n_tokens:
            break
        if all(part in of_bytes or part in made for part in pair):
            made.add("".join(pair))
            kept_merges.append(merge)
    text = sorted(vocabulary[token] for token in of_bytes | made)
    rows = [*text, end, *prompt]
    number_of = {row: number for number, row in enumerate(rows)}
    token_of = {number: token for token, number in vocabulary.items()}
    kept = {
        **content,
        "added_tokens": [{**special[row], "id": number_of[row]} for row in rows if row in special],
        "post_processor": None,  # the prompt is put before a text by who reads it
        "model": {
            **content["model"],
            "vocab": {token_of[row]: number_of[row] for row in rows if row in token_of},
            "merges": kept_merges,
        },
    }
    return kept, rows


def prune(source: Path, folder: Path, n_tokens: int) -> int:
    """Write the smaller Whisper; returns how many tokens it has.

    Raises
    ------
    InputError
        Where the folder holds no whole Whisper.
    """
    file = source / TOKENIZER_FILE
    if not file.is_file():
        raise InputError(f"{file}: no such file; give the folder of a whole Whisper, with its tokenizer")
    try:
        with quiet():
            model = WhisperForConditionalGeneration.from_pretrained(source)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(how_to_get(str(source), error)) from error
    text = file.read_text(encoding="utf-8")
    tokenizer = TextTokenizer(text, model.config.vocab_size, model.config.max_target_positions)
    kept, rows = prune_tokenizer(json.loads(text), tokenizer.prompt, n_tokens)
    embedding = nn.Embedding(len(rows), model.config.d_model, padding_idx=len(rows) - len(tokenizer.prompt) - 1)
    embedding.weight.data.copy_(model.get_input_embeddings().weight[torch.tensor(rows)])
    model.set_input_embeddings(embedding)
    model.proj_out = nn.Linear(model.config.d_model, len(rows), bias=False)
    model.tie_weights()
    ids = {token["content"]: token["id"] for token in kept["added_tokens"]}
    names = {"pad_token_id": END, "bos_token_id": END, "eos_token_id": END, "decoder_start_token_id": START}
    model.config.update({"vocab_size": len(rows), **{name: ids[token] for name, token in names.items()}})
    model.config.suppress_tokens = model.config.begin_suppress_tokens = model.config.forced_decoder_ids = None
    model.generation_config = GenerationConfig(**{name: ids[token] for name, token in names.items()})
    model.save_pretrained(folder)
    (folder / TOKENIZER_FILE).write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
    return len(rows)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of a whole Whisper (tools/get_whisper.py makes one)")
    parser.add_argument("folder", type=Path, help="of the smaller one, new or empty")
    parser.add_argument("--tokens", type=positive, default=8192, help="of text that are kept (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.tokens < LEAST_TOKENS:
        parser.error(f"--tokens {options.tokens}: at least {LEAST_TOKENS}, or texts fall apart into letters")
    if options.folder.exists() and (not options.folder.is_dir() or any(options.folder.iterdir())):
        raise InputError(f"{options.folder}: is there already; give a new folder")
    n_rows = prune(options.source, options.folder, options.tokens)
    print(f"wrote {options.folder}: {n_rows} tokens")


if __name__ == "__main__":
    run(main)
