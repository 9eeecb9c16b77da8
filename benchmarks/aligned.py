"""An aligned network's speed beside a plain implementation, on the same weights.

Plain: librosa loads, the extractor pads reference and response to 16 s each, transformers' encoder reads both of every clip.
What compares their frames is the project's own in both; nobody else has one.
"""

import functools
from dataclasses import dataclass
from pathlib import Path

import librosa
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import WhisperFeatureExtractor

from benchmarks.inference import our_scores
from benchmarks.material import in_turn
from benchmarks.plain import MAX_SECONDS, RATE_HZ
from benchmarks.rows import Row, timed
from benchmarks.setting import STEP_CLIPS, Setting
from models.clips.tables import clip_paths, scalars, utterances
from models.ensemble.rebuild import rebuild_network
from models.network.aligned import AlignedNetwork
from models.network.encoder import frame_mask
from models.network.pretrained import to_transformers

Sample = tuple[Tensor, int, Tensor, int]


@dataclass(frozen=True)
class PlainSides:
    """Reference and response of each clip: a log-mel [shape=(80, 1600)] and the encoder's frames inside of it, of each."""

    references: list[Path]
    responses: list[Path]

    def __len__(self) -> int:
        return len(self.responses)

    def __getitem__(self, row: int) -> Sample:
        return (*_side(self.references[row]), *_side(self.responses[row]))


def _side(file: Path) -> tuple[Tensor, int]:
    waveform, _ = librosa.load(file, sr=RATE_HZ)
    extractor = WhisperFeatureExtractor(chunk_length=MAX_SECONDS)
    features = extractor(waveform, sampling_rate=RATE_HZ, return_tensors="pt")["input_features"]
    return torch.as_tensor(features)[0], min(-(-len(waveform) // (RATE_HZ // 50)), MAX_SECONDS * 50)


class PlainAligned(nn.Module):
    """transformers' encoder, always 16 s long, under the comparison and the head of an aligned network."""

    def __init__(self, ours: AlignedNetwork) -> None:
        super().__init__()
        self.encoder, self.pooling, self.head = to_transformers(ours.encoder), ours.pooling, ours.head

    def forward(
        self, reference: Tensor, reference_frames: Tensor, response: Tensor, response_frames: Tensor, scalars: Tensor
    ) -> Tensor:
        """Two of log-mels [shape=(batch, 80, 1600)] and encoder frames [shape=(batch,)] -> logits [shape=(batch,)]"""
        left, right = (self.encoder(side).last_hidden_state for side in (reference, response))
        masks = (frame_mask(frames, left.shape[1]) for frames in (reference_frames, response_frames))
        pooled = self.pooling(left, next(masks), right, next(masks))
        return self.head(torch.cat([pooled, scalars], dim=1)).squeeze(1)


@torch.inference_mode()
def plain_aligned_scores(network: PlainAligned, data: PlainSides, scalars: Tensor, processes: int) -> Tensor:
    """Probabilities [shape=(clips,)], in batches as they come; in float32 on a CPU, under fp16 autocast on a GPU."""
    device = next(network.parameters()).device
    loader = DataLoader(data, STEP_CLIPS, num_workers=processes)  # type: ignore[arg-type]
    logits = []
    for sides, values in zip(loader, scalars.split(STEP_CLIPS), strict=True):
        with torch.autocast(device.type, torch.float16, enabled=device.type == "cuda"):
            logits.append(network(*(side.to(device) for side in sides), values.to(device)).float().cpu())
    return torch.cat(logits).sigmoid()


def time_aligned(setting: Setting) -> list[Row]:
    """From files to scores, per clip."""
    member, clips = setting.member(pooling="alignment"), setting.clips
    network = rebuild_network(member.checkpoint)
    assert isinstance(network, AlignedNetwork)
    files = [clips.reference_files[said] for said in utterances(clips.table)]
    data = PlainSides(files, clip_paths(clips.data_dir, clips.table["filename"]))
    plain = functools.partial(
        plain_aligned_scores, PlainAligned(network).eval().to(setting.device), data,
        torch.from_numpy(scalars(clips.table)), setting.loaders,
    )  # fmt: skip
    ours = functools.partial(our_scores, setting, member, setting.precision)
    name = f"aligned, {setting.weights}: inference, {setting.precision}"
    return [timed("aligned", name, in_turn(ours, plain, turns=setting.turns), len(data))]
