"""A verifier's speed beside a plain implementation of it, on one kind of weights.

Plain: the extractor's log-mel of 30 s whatever the clip's length, transformers' model, the product with the whole vocabulary,
of which the logits of the tokens fed are kept, float32, every weight trained. Ours reads the drawn texts of its recipe as well
in training.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from benchmarks.inference import our_scores
from benchmarks.material import Clips, in_turn, pretrained_member
from benchmarks.random_whisper import save_random
from benchmarks.rows import Row, timed
from benchmarks.setting import STEP_CLIPS, Setting
from models.base.compute import resolve_precision
from models.clips.dataset import ComparisonDataset
from models.clips.features import frames_for_seconds
from models.clips.tables import clip_paths
from models.network.comparison import parameter_groups
from models.network.pretrained import pretrained_network, quiet
from models.network.verifier import VerifierNetwork
from models.recipe import Recipe
from models.speech.audio import SAMPLE_RATE_HZ, read_audio
from train_verifybase import recipe as published

TEXT = "and so there were ten of them"
TRAINING_CLIPS = 8  # in a step: the plain one takes seconds for each
LONGEST_SECONDS = 30.0


class PlainVerifier(nn.Module):
    """The mean logit of the tokens behind the prompt, and a linear layer."""

    def __init__(self, source: str, n_prompt: int) -> None:
        super().__init__()
        with quiet():
            self.whisper = WhisperForConditionalGeneration.from_pretrained(source)
        self.head = nn.Linear(1, 1)
        self.n_prompt = n_prompt

    def forward(self, features: Tensor, tokens: Tensor) -> Tensor:
        logits = self.whisper(features, decoder_input_ids=tokens).logits
        fed = logits.gather(2, tokens[:, :, None])[:, self.n_prompt :, 0]
        return self.head(fed.mean(dim=1, keepdim=True)).squeeze(1)


class OurTraining:
    """This project's steps: clips as long as they are, the processor's fastest number format."""

    def __init__(self, recipe: Recipe, clips: Clips, device: torch.device) -> None:
        network = pretrained_network(recipe)
        assert isinstance(network, VerifierNetwork)
        self.network, self.device = network.to(device), device
        self.precision = resolve_precision("auto", device)
        frames = frames_for_seconds(recipe.max_seconds)
        self.data = ComparisonDataset(
            *(clips.table, clips.data_dir, {}, 80, frames),
            layout="text",
            tokenizer=network.tokenizer,
            drawn_texts=recipe.drawn_texts,
        )
        self.optimizer = torch.optim.AdamW(parameter_groups(network, recipe), lr=1e-6, fused=True)

    def batch(self, rows: Sequence[int]) -> dict[str, Tensor]:
        batch = self.data.collate([self.data[row] for row in rows])
        return {name: value.to(self.device) for name, value in batch.items()}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        with torch.autocast(self.device.type, dtype, enabled=self.precision != "fp32"):
            return self.network(**batch)

    def train(self, batch: dict[str, Tensor]) -> None:
        self.network.train()
        self.forward(batch)["loss"].backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


class Plain:
    """The same with transformers' own parts."""

    def __init__(
        self, source: str, files: Sequence[Path], prompt: Sequence[int], tokens: Sequence[int], device: Any
    ) -> None:
        self.network, self.device, self.files = PlainVerifier(source, len(prompt)).to(device), device, files
        self.tokens = torch.tensor([tokens], device=device)
        self.extractor = WhisperFeatureExtractor()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-6)

    def batch(self, rows: Sequence[int]) -> Tensor:
        waveforms = [read_audio(self.files[row], LONGEST_SECONDS) for row in rows]
        found = self.extractor(waveforms, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        return torch.as_tensor(found["input_features"]).to(self.device)

    def forward(self, features: Tensor) -> Tensor:
        return self.network(features, self.tokens.expand(len(features), -1))

    @torch.inference_mode()
    def score(self, batches: Sequence[Sequence[int]]) -> None:
        self.network.eval()
        for rows in batches:
            self.forward(self.batch(rows)).cpu()

    def train(self, features: Tensor, labels: Tensor) -> None:
        self.network.train()
        nn.functional.binary_cross_entropy_with_logits(self.forward(features), labels).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def time_verifier(setting: Setting, folder: Path) -> list[Row]:
    """Inference from files to scores and a training step, per clip; random weights are written to `folder`."""
    source = setting.encoder or save_random(folder, setting.size)
    recipe, precision = replace(published, encoder=source, max_seconds=16.0), setting.precision
    clips = replace(setting.clips, table=setting.clips.table.assign(expected_text=TEXT))
    files = clip_paths(clips.data_dir, clips.table["filename"])
    order = np.argsort([len(read_audio(file, LONGEST_SECONDS)) for file in files]).tolist()
    batches = [order[at : at + STEP_CLIPS] for at in range(0, len(order), STEP_CLIPS)]
    ours = OurTraining(recipe, clips, setting.device)
    tokenizer = ours.network.tokenizer
    plain = Plain(source, files, tokenizer.prompt, tokenizer.encode(TEXT), setting.device)
    step_rows = batches[0][:TRAINING_CLIPS]
    step, features = ours.batch(step_rows), plain.batch(step_rows)
    score = functools.partial(our_scores, replace(setting, clips=clips), pretrained_member(source, recipe), precision)
    scored = in_turn(score, lambda: plain.score(batches), turns=setting.turns)
    trained = in_turn(lambda: ours.train(step), lambda: plain.train(features, step["labels"]), turns=setting.turns)
    return [
        timed("verifier", f"verifier, {setting.weights}: inference, {precision}", scored, len(order)),
        timed(
            "verifier",
            f"verifier, {setting.weights}: training step with drawn texts, {precision}",
            trained,
            len(step_rows),
        ),
    ]
