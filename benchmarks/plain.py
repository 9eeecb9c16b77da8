"""The same steps as in this project, written plainly: what its speed is measured against.

librosa decodes, stretches and shifts waveforms, the Hugging Face extractor computes log-mels, every input is padded to 16 s, and
the network is transformers' own. As a script it prints the log loss of every checkpoint in a folder:

    python benchmarks/plain.py assets
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.metrics import log_loss
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

RATE_HZ = 16_000
MAX_SECONDS = 16
PROBABILITY = 0.4

Waveform = NDArray[np.float32]


@dataclass(frozen=True)
class PlainSamples:
    """Clips and their references as log-mels [shape=(80, 1600)]; augment as in a recipe."""

    references: list[Path]
    responses: list[Path]
    augment: str

    def __len__(self) -> int:
        return len(self.responses)

    def __getitem__(self, row: int) -> Tensor:
        rng = np.random.default_rng(row)
        reference, _ = librosa.load(self.references[row], sr=RATE_HZ)
        response, _ = librosa.load(self.responses[row], sr=RATE_HZ)
        if self.augment == "both":
            reference = mask_spans(change_sound(reference, rng), rng)
        if self.augment != "none":
            response = change_sound(shift_pitch(response, rng), rng)
        if self.augment == "both":
            response = mask_spans(response, rng)
        joined = np.concatenate([reference, response])[: MAX_SECONDS * RATE_HZ]
        extractor = WhisperFeatureExtractor(chunk_length=MAX_SECONDS)
        features = extractor(joined, sampling_rate=RATE_HZ, return_tensors="pt")["input_features"]
        return torch.as_tensor(features)[0]


def shift_pitch(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    if rng.random() >= PROBABILITY:
        return waveform
    return np.asarray(librosa.effects.pitch_shift(waveform, sr=RATE_HZ, n_steps=rng.uniform(-5, 5)))


def change_sound(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    """Pace, noise and gain, each now and then."""
    if rng.random() < PROBABILITY:
        waveform = librosa.effects.time_stretch(waveform, rate=rng.uniform(0.7, 1.3))
    if rng.random() < PROBABILITY:
        waveform = waveform + rng.normal(0, 0.03, len(waveform)).astype(np.float32)
    if rng.random() < PROBABILITY:
        waveform = waveform * np.float32(rng.uniform(0.7, 1.3))
    return waveform


def mask_spans(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    if rng.random() >= PROBABILITY:
        return waveform
    masked = waveform.copy()
    for _ in range(rng.integers(1, 7)):
        width = int(len(masked) * rng.uniform(0.025, 0.075))
        start = rng.integers(0, len(masked) - width + 1)
        masked[start : start + width] = 0
    return masked


class PlainNetwork(nn.Module):
    """Mean pooling and a linear head on transformers' encoder, always 16 s long."""

    def __init__(self, config: dict[str, Any], checkpointing: bool = False) -> None:
        super().__init__()
        self.encoder = WhisperEncoder(WhisperConfig(**config, decoder_layers=0, use_cache=False))
        if checkpointing:
            self.encoder.gradient_checkpointing_enable()
        self.head = nn.Sequential(nn.Linear(self.encoder.config.d_model + 2, 1))

    def forward(self, log_mel: Tensor, scalars: Tensor) -> Tensor:
        """log_mel [shape=(batch, 80, 1600)], scalars [shape=(batch, 2)] -> logits [shape=(batch,)]"""
        pooled = self.encoder(log_mel).last_hidden_state.mean(dim=1)
        return self.head(torch.cat([pooled, scalars], dim=1)).squeeze(1)


@torch.inference_mode()
def plain_scores(
    network: PlainNetwork, data: PlainSamples, scalars: Tensor, batch_size: int, processes: int = 0
) -> Tensor:
    """Probabilities [shape=(clips,)], in batches as they come; in float32 on a CPU, under fp16 autocast on a GPU."""
    device = next(network.parameters()).device
    loader = DataLoader(data, batch_size, num_workers=processes)  # type: ignore[arg-type]
    logits = []
    for log_mel, values in zip(loader, scalars.split(batch_size), strict=True):
        with torch.autocast(device.type, torch.float16, enabled=device.type == "cuda"):
            logits.append(network(log_mel.to(device), values.to(device)).float().cpu())
    return torch.cat(logits).sigmoid()


def plain_step(
    network: PlainNetwork, optimizer: torch.optim.Optimizer, batch: tuple[Tensor, Tensor, Tensor], dtype: torch.dtype
) -> None:
    """A training step under autocast."""
    log_mel, scalars, labels = batch
    with torch.autocast(log_mel.device.type, dtype=dtype):
        logits = network(log_mel, scalars)
    loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), labels)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()


def plain_weights(labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ensemble weights by SLSQP on scikit-learn's log loss, with numerical gradients."""
    n_models = predictions.shape[1]
    found = minimize(
        lambda weights: log_loss(labels, predictions @ weights), np.full(n_models, 1 / n_models), method="SLSQP",
        bounds=[(0, 1)] * n_models, constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
    )  # fmt: skip
    return np.asarray(found.x)


def plain_check(folder: Path) -> None:
    """Each checkpoint's log loss, reading it whole."""
    for path in sorted(folder.glob("*.pth")):
        content = torch.load(path, weights_only=True)
        oof, tasks = content["oof"], json.loads(content["oof"]["tasks"])
        print(path.name, len(tasks), log_loss(oof["labels"], oof["predictions"], labels=[0, 1]))


if __name__ == "__main__":
    plain_check(Path(sys.argv[1]))
