"""A verifier's speed beside a plain implementation of it, on one kind of weights and one thread.

    python benchmarks/verifier.py --encoder whisper-base

Plain: the extractor's log-mel of 30 s whatever the clip's length, transformers' model, the product with the whole vocabulary,
of which the logits of the tokens fed are kept, float32, every weight trained. Both take turns; medians.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from benchmarks.material import in_turn, made_clips
from models.base.cli import positive, run
from models.base.compute import resolve_device, resolve_precision
from models.clips.dataset import ComparisonDataset
from models.clips.features import frames_for_seconds
from models.clips.tables import clip_paths
from models.network.build import pretrained_network
from models.network.comparison import parameter_groups
from models.network.verifier import VerifierNetwork
from models.speech.audio import SAMPLE_RATE_HZ, read_audio
from train_verifybase import recipe as published

TEXT = "and so there were ten of them"
BATCH = 16
SECONDS = 7.0  # of response and reference together in `made_clips`: 4.2 of the response, as the children's


class PlainVerifier(nn.Module):
    """The mean logit of the tokens behind the prompt, and a linear layer."""

    def __init__(self, source: str, n_prompt: int) -> None:
        super().__init__()
        self.whisper = WhisperForConditionalGeneration.from_pretrained(source)
        self.head = nn.Linear(1, 1)
        self.n_prompt = n_prompt

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        logits = self.whisper(features, decoder_input_ids=tokens).logits
        fed = logits.gather(2, tokens[:, :, None])[:, self.n_prompt :, 0]
        return self.head(fed.mean(dim=1, keepdim=True)).squeeze(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", required=True, help="a Whisper with decoder and tokenizer: hub id or folder")
    parser.add_argument("--clips", type=positive, default=32, help="(default: %(default)s)")
    parser.add_argument("--turns", type=positive, default=3, help="(default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="(default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = resolve_device(options.device)
    precision = resolve_precision("auto", device)
    recipe = replace(published, encoder=options.encoder, max_seconds=16.0)
    ours = pretrained_network(recipe)
    assert isinstance(ours, VerifierNetwork)
    plain = PlainVerifier(options.encoder, ours.n_prompt)
    ours, plain = ours.to(device), plain.to(device)
    with TemporaryDirectory() as folder:
        clips = made_clips(Path(folder), options.clips, SECONDS)
        table = clips.table.assign(expected_text=TEXT)
        data = ComparisonDataset(
            table, clips.data_dir, {}, 80, frames_for_seconds(16.0), layout="text", tokenizer=ours.tokenizer
        )
        files = clip_paths(clips.data_dir, table["filename"])
        lengths = [len(read_audio(file, 30.0)) for file in files]
        order = np.argsort(lengths).tolist()
        batches = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
        extractor = WhisperFeatureExtractor()
        tokens = torch.tensor([ours.tokenizer.encode(TEXT)], device=device)

        def our_batch(rows: Sequence[int]) -> dict[str, Tensor]:
            return {name: value.to(device) for name, value in data.collate([data[row] for row in rows]).items()}

        def plain_batch(rows: Sequence[int]) -> Tensor:
            waveforms = [read_audio(files[row], 30.0) for row in rows]
            found = extractor(waveforms, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
            return torch.as_tensor(found["input_features"]).to(device)

        @torch.inference_mode()
        def score_ours() -> None:
            ours.eval()
            for rows in batches:
                with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                    ours(**our_batch(rows))["logits"].cpu()

        @torch.inference_mode()
        def score_plain() -> None:
            plain.eval()
            for rows in batches:
                plain(plain_batch(rows), tokens.expand(len(rows), -1)).cpu()

        our_optimizer = torch.optim.AdamW(parameter_groups(ours, recipe), lr=1e-6, fused=True)
        plain_optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-6)
        step, step_features = our_batch(batches[0]), plain_batch(batches[0])

        def train_ours() -> None:
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                loss = ours.train()(**step)["loss"]
            loss.backward()
            our_optimizer.step()
            our_optimizer.zero_grad()

        def train_plain() -> None:
            logits = plain.train()(step_features, tokens.expand(len(step_features), -1))
            nn.functional.binary_cross_entropy_with_logits(logits, step["labels"]).backward()
            plain_optimizer.step()
            plain_optimizer.zero_grad()

        print(f"{options.clips} clips of {np.mean(lengths) / SAMPLE_RATE_HZ:.1f} s, {device}, ours in {precision}")
        for what, pair, per in (
            ("inference, from files to logits, per clip", (score_ours, score_plain), options.clips),
            ("a training step, per clip", (train_ours, train_plain), len(batches[0])),
        ):
            fast, slow = (seconds * 1000 / per for seconds in in_turn(*pair, options.turns))
            print(f"{what}: {fast:.0f} ms, plain {slow:.0f} ms: {slow / fast:.1f} ×", flush=True)


if __name__ == "__main__":
    run(main)
