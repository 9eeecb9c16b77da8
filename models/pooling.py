"""Pooling: from the encoder's frames [shape=(batch, frames, width)] to one vector [shape=(batch, out_features)]."""

from typing import Any

import torch
from torch import Tensor, nn


class MeanPooling(nn.Module):
    """The average frame."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_features = width

    def forward(self, frames: Tensor) -> Tensor:
        return frames.mean(dim=1)


class AttentionPooling(nn.Module):
    """One linear score per frame, softmax over the frames, weighted sum (Safari et al. 2020, self-attention pooling)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_features = width
        self.score = nn.Linear(width, 1)

    def forward(self, frames: Tensor) -> Tensor:
        weights = self.score(frames).softmax(dim=1)  # (batch, frames, 1)
        return (weights * frames).sum(dim=1)


class AttentionAndMeanPooling(nn.Module):
    """Both, side by side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_features = 2 * width
        self.attention = AttentionPooling(width)
        self.mean = MeanPooling(width)

    def forward(self, frames: Tensor) -> Tensor:
        return torch.cat([self.attention(frames), self.mean(frames)], dim=-1)


def make_pooling(kind: str, width: int) -> Any:
    kinds = {"mean": MeanPooling, "attention": AttentionPooling, "attention+mean": AttentionAndMeanPooling}
    return kinds[kind](width)
