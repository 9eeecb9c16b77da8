"""Pre-training of the phonetic encoder: phones per frame, phones per clip, and "do these two say the same?"."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from models.base.compute import bfloat16_is_fast
from models.base.files import replace_when_done
from models.network.aligned import AlignedNetwork, EncodedClips
from models.network.phone_fit import negative_log_likelihood
from models.network.phones import PHONE_CLASSES, PHONES_FILE
from models.network.pretrained import COMPARISON_FILE, from_transformers, to_transformers
from models.pretrain.stream import BatchStream, PairBatch
from models.pretrain.synthesis import N_MELS
from models.recipe import Recipe

SNAPSHOT_FILE = "snapshot.pt"

_PHONES_ONLY = 0.06  # share of the run in which frames alone are learnt; comparing needs frames that mean something
_REFERENCE_GRADIENT_EVERY = 4  # steps
_FRAME_WEIGHT, _CTC_WEIGHT, _SYNTHETIC_CTC_WEIGHT = 1.0, 0.6, 0.3
_PEAK_LEARNING_RATE = 1e-3
_WARM_UP = 0.01  # share of the run
_LEAST_LEARNING_RATE = 0.01  # of the peak, at the end
_MAX_GRADIENT_NORM = 1.0


def new_network(width: int = 256, layers: int = 4, heads: int = 4) -> AlignedNetwork:
    """An aligned network with a phone classifier, of random weights; small enough for 10 MB in float16."""
    config = WhisperConfig(
        num_mel_bins=N_MELS,
        d_model=width,
        encoder_layers=layers,
        encoder_attention_heads=heads,
        encoder_ffn_dim=4 * width,
        decoder_layers=0,
        max_source_positions=1500,
    )
    recipe = Recipe(name="pretraining", encoder="none", pooling="alignment", dropout=0.0, seed=0, data_seed=0)
    return AlignedNetwork(from_transformers(WhisperEncoder(config)), recipe, len(PHONE_CLASSES))


def encode_batch(model: AlignedNetwork, features: Tensor, frames: Tensor) -> EncodedClips:
    """Encode padded clips, the shorter half apart from the longer one, so that little padding is worked on."""
    parts = [rows for rows in frames.argsort().chunk(2) if len(rows)]
    encoded = [model.encode(features[rows, :, : int(frames[rows].max())], frames[rows]) for rows in parts]
    return _join(encoded, parts)


def encode_for_training(model: AlignedNetwork, batch: PairBatch, through_references: bool) -> EncodedClips:
    """Encode a batch; references, all in one clean voice, teach little and mostly go without gradients."""
    is_reference = reference_rows(batch)
    parts = [is_reference.nonzero().squeeze(1), (~is_reference).nonzero().squeeze(1)]
    with torch.set_grad_enabled(through_references):
        references = encode_batch(model, batch.features[parts[0]], batch.frames[parts[0]])
    responses = encode_batch(model, batch.features[parts[1]], batch.frames[parts[1]])
    return _join([references, responses], parts)


def reference_rows(batch: PairBatch) -> Tensor:
    """bool [shape=(clips,)]"""
    rows = torch.arange(len(batch.frames))
    return (rows < 4 * len(batch.scalars)) & (rows % 4 < 2)


def _join(parts: list[EncodedClips], rows: list[Tensor]) -> EncodedClips:
    """Parts as one, with clip `rows[p][i]` at that row."""
    most = max(part.frames.shape[1] for part in parts)
    order = torch.cat(rows).argsort()

    def padded(values: Tensor) -> Tensor:
        return nn.functional.pad(values, (0, 0, 0, most - values.shape[1]))

    frames = torch.cat([padded(part.frames) for part in parts])[order]
    phone_logits = torch.cat([padded(part.phone_logits) for part in parts])[order]
    return EncodedClips(frames, torch.cat([part.lengths for part in parts])[order], phone_logits)


def pairs_of(n_groups: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows of references, rows of responses, labels and groups of all pairs of a batch [shape=(5 * n_groups,)].

    The four pairings within each group, and each first response against the next group's reference.
    """
    group = torch.arange(n_groups)
    first, other = 4 * group, 4 * ((group + 1) % n_groups)
    references = torch.cat([first, first + 1, first, first + 1, other])
    responses = torch.cat([first + 2, first + 3, first + 3, first + 2, first + 2])
    labels = torch.cat([torch.ones(2 * n_groups), torch.zeros(3 * n_groups)])
    return references, responses, labels, group.repeat(5)


@dataclass(frozen=True)
class Losses:
    """Mean losses of a batch: frame phones and pairs in nats, CTC in nats per phone, 0 where a batch has no such clip.

    CTC of recordings is the only lesson there, as their frames have no labels; in synthetic responses, whose frames have
    them, it is what stops the classes from flickering.
    """

    frame: Tensor
    ctc: Tensor
    synthetic_ctc: Tensor
    pair: Tensor
    frame_accuracy: Tensor

    def total(self, progress: float) -> Tensor:
        if progress < _PHONES_ONLY:
            return self.frame
        ctc = _CTC_WEIGHT * self.ctc + _SYNTHETIC_CTC_WEIGHT * self.synthetic_ctc
        return self.pair + _FRAME_WEIGHT * self.frame + ctc


def batch_losses(
    model: AlignedNetwork, batch: PairBatch, with_pairs: bool = True, through_references: bool = True
) -> Losses:
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_fast()):
        encoded = encode_for_training(model, batch, through_references)
        pair = _pair_loss(model, encoded, batch.scalars) if with_pairs else torch.zeros(())
    known = batch.labels >= 0
    logits, labels = encoded.phone_logits[known], batch.labels[known]
    accuracy = (logits.argmax(dim=-1) == labels).float().mean()
    is_recording = ~known.any(dim=1)
    return Losses(
        nn.functional.cross_entropy(logits, labels),
        _ctc_loss(encoded, batch, is_recording),
        _ctc_loss(encoded, batch, ~is_recording & ~reference_rows(batch)),
        pair,
        accuracy,
    )


def _pair_loss(model: AlignedNetwork, encoded: EncodedClips, scalars: Tensor) -> Tensor:
    references, responses, labels, groups = pairs_of(len(scalars))
    return model.compare(encoded.take(references), encoded.take(responses), scalars[groups], labels)["loss"]


def _ctc_loss(encoded: EncodedClips, batch: PairBatch, chosen: Tensor) -> Tensor:
    """Mean over the chosen clips, bool [shape=(clips,)]."""
    rows = chosen.nonzero().squeeze(1)
    if len(rows) == 0:
        return torch.zeros(())
    clips, counts = encoded.take(rows), batch.phone_counts[rows]
    nats = negative_log_likelihood(clips.phone_logits, clips.lengths, batch.phones[rows, : int(counts.max())], counts)
    return torch.where(nats.isfinite(), nats / counts, 0.0).mean()


def learning_rate_at(progress: float) -> float:
    """Linear warm-up, then half a cosine down to 1 % of the peak."""
    if progress < _WARM_UP:
        return _PEAK_LEARNING_RATE * (progress / _WARM_UP + 1e-3)
    cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    return _PEAK_LEARNING_RATE * (_LEAST_LEARNING_RATE + (1 - _LEAST_LEARNING_RATE) * cosine)


@dataclass
class Clock:
    """How far the run is; survives interruptions."""

    step: int = 0
    seconds: float = 0.0
    audio_seconds: float = 0.0


class Pretrainer:
    """Trains for a given time, not a number of steps, so that the schedule fits any machine; can resume."""

    def __init__(self, model: AlignedNetwork, output: Path, minutes: float) -> None:
        self.model = model
        self.clock = Clock()
        self._output = output
        self._total_seconds = minutes * 60
        decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        plain = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
        self._optimizer = torch.optim.AdamW(groups, lr=_PEAK_LEARNING_RATE, betas=(0.9, 0.98), fused=True)

    @property
    def progress(self) -> float:
        return min(self.clock.seconds / self._total_seconds, 1.0)

    def train(
        self, stream: BatchStream, every_seconds: float, on_pause: Callable[["Pretrainer", dict[str, float]], None]
    ) -> None:
        """Train to the end; each `every_seconds` save a snapshot and call `on_pause` with the mean losses since."""
        self.model.train()
        paused_at, sums, n_steps = self.clock.seconds, torch.zeros(()), 0
        for batch in stream:
            stream.set_progress(self.progress)
            started = time.perf_counter()
            losses = self.step(batch)
            self.clock.seconds += time.perf_counter() - started
            sums, n_steps = sums + torch.stack([value.detach() for value in vars(losses).values()]), n_steps + 1
            if self.progress >= 1.0 or self.clock.seconds - paused_at >= every_seconds:
                self.save()
                on_pause(self, dict(zip(vars(losses), (sums / n_steps).tolist(), strict=True)))
                paused_at, sums, n_steps = self.clock.seconds, torch.zeros(()), 0
            if self.progress >= 1.0:
                return

    def step(self, batch: PairBatch) -> Losses:
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate_at(self.progress)
        through_references = self.clock.step % _REFERENCE_GRADIENT_EVERY == 0
        losses = batch_losses(self.model, batch, self.progress >= _PHONES_ONLY, through_references)
        self._optimizer.zero_grad(set_to_none=True)
        losses.total(self.progress).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), _MAX_GRADIENT_NORM, error_if_nonfinite=True)
        self._optimizer.step()
        self.clock.step += 1
        self.clock.audio_seconds += float(batch.frames.sum()) / 100
        return losses

    def save(self) -> None:
        """Write the snapshot to resume from, and the encoder with its heads as they are now."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "clock": asdict(self.clock),
        }
        with replace_when_done(self._output / SNAPSHOT_FILE) as temporary:
            torch.save(state, temporary)
        save_pretrained(self._output / "encoder", self.model)

    def resume(self) -> bool:
        """Go on from the snapshot in the output folder, if there is one."""
        path = self._output / SNAPSHOT_FILE
        if not path.is_file():
            return False
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.clock = Clock(**state["clock"])
        return True


def save_pretrained(folder: Path, network: AlignedNetwork) -> None:
    """Write the encoder as `transformers` does, in float16, the network's other parts and the phone classes beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    to_transformers(network.encoder).half().save_pretrained(folder)
    rest = {name: value.half() for name, value in network.state_dict().items() if not name.startswith("encoder.")}
    with replace_when_done(folder / COMPARISON_FILE) as temporary:
        save_file(rest, temporary)
    with replace_when_done(folder / PHONES_FILE) as temporary:
        temporary.write_text(json.dumps(list(PHONE_CLASSES)) + "\n", encoding="utf-8")
