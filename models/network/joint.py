"""The joint network: reference and response in one input, whose frames are pooled to one vector.

Poolings take frames [shape=(batch, frames, width)] to [shape=(batch, out_features)]. With a mask, bool [shape=(batch, frames)],
frames where it is False have no effect; without, as published, all count.
"""

from typing import Any

import torch
from torch import Tensor, nn

from models.network.comparison import ComparisonNetwork
from models.network.encoder import encode, encoder_lengths, frame_mask
from models.network.whisper import WhisperEncoder
from models.recipe import Recipe


class MeanPooling(nn.Module):
    """The average frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_features = width

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return frames.mean(dim=1)
        return (frames * mask[:, :, None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)


class AttentionPooling(nn.Module):
    """One linear score per frame, softmax over the frames, weighted sum (Safari et al. 2020, self-attention pooling)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_features = width
        self.score = nn.Linear(width, 1)

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        scores = self.score(frames)  # (batch, frames, 1)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, :, None], -torch.inf)
        return (scores.softmax(dim=1) * frames).sum(dim=1)


class AttentionAndMeanPooling(nn.Module):
    """Both, side by side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_features = 2 * width
        self.attention = AttentionPooling(width)
        self.mean = MeanPooling(width)

    def forward(self, frames: Tensor, mask: Tensor | None = None) -> Tensor:
        return torch.cat([self.attention(frames, mask), self.mean(frames, mask)], dim=-1)


def make_pooling(kind: str, width: int) -> Any:
    kinds = {"mean": MeanPooling, "attention": AttentionPooling, "attention+mean": AttentionAndMeanPooling}
    return kinds[kind](width)


class JointNetwork(ComparisonNetwork):
    """Reads reference and response as one spectrogram. Arguments of a call are those of `batches.collate_joined`."""

    def __init__(self, encoder: WhisperEncoder, recipe: Recipe) -> None:
        super().__init__(encoder, recipe, make_pooling(recipe.pooling, int(encoder.config.d_model)))

    def forward(
        self, log_mel: Tensor, scalars: Tensor, labels: Tensor | None = None, frames: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Encode, pool and answer.

        Parameters
        ----------
        log_mel : [shape=(batch, n_mels, spectrogram frames)]
        frames : int64 [shape=(batch,)]
            Of each clip; what lies beyond has no effect. None: all is read.

        Returns
        -------
        dict[str, Tensor]
            What `answer` does.
        """
        encoded = encode(self.encoder, log_mel, frames)
        mask = None if frames is None else frame_mask(encoder_lengths(frames), encoded.shape[1])
        with torch.autocast(encoded.device.type, enabled=False):
            return self.answer(self.pooling(self.frame_dropout(encoded.float()), mask), scalars, labels)
