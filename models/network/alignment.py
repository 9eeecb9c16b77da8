"""The alignment comparator: do two sequences of encoder frames say the same?

Each frame of one sequence looks for its counterpart in the other by soft attention (as in Rocktäschel et al. 2016,
"Reasoning about Entailment with Neural Attention"; the comparison of a vector with its counterpart by difference and
product follows Chen et al. 2017, "Enhanced LSTM for Natural Language Inference"). Matching by content alone finds
words in any order, so the head is also told where each frame's counterpart lies and how that place moves from frame
to frame.
"""

import torch
from torch import Tensor, nn

_INITIAL_BIAS = 8.0  # penalty on the squared difference between relative positions
_LAGS = (2, 6, 12)  # encoder frames (20 ms) over which the movement of the counterpart is taken
_CONTEXT = 7  # frames that the comparison of a frame looks at: 140 ms, about a phone and its neighbours
_SECONDS_PER_FRAME = 0.02


class FrameAlignment(nn.Module):
    """Compares each frame of a reference and of a response with its counterpart on the other side.

    Parameters
    ----------
    width
        Of the encoder's frames, any.
    """

    def __init__(self, width: int, inner: int = 128, hidden: int = 160) -> None:
        super().__init__()
        self.project = nn.Linear(width, inner)
        self.log_sharpness = nn.Parameter(torch.tensor(2.0))
        self.log_position_bias = nn.Parameter(torch.tensor(_INITIAL_BIAS).log())
        self.compare_reference = FrameComparison(inner, hidden)
        self.compare_response = FrameComparison(inner, hidden)
        self.hidden = hidden

    def compare(
        self, reference: Tensor, reference_mask: Tensor, response: Tensor, response_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The comparison of every frame: two of float32 [shape=(batch, frames, hidden)], 0 at padding.

        Parameters
        ----------
        reference, response
            Encoder frames [shape=(batch, frames, width)], of differing numbers of frames.
        reference_mask, response_mask : bool [shape=(batch, frames)]
            False at padding, which has no effect.
        """
        left, right = self.project(reference), self.project(response)
        scores = self._scores(left, reference_mask, right, response_mask)
        return (
            self.compare_reference(left, reference_mask, right, response_mask, scores),
            self.compare_response(right, response_mask, left, reference_mask, scores.transpose(1, 2)),
        )

    def attention(self, reference: Tensor, response: Tensor) -> Tensor:
        """Where in the reference the counterpart of each frame of the response is: weights that add up to 1 over the reference.

        Parameters
        ----------
        reference, response
            Encoder frames of one clip [shape=(frames, width)]; returns [shape=(reference, response frames)].
        """
        sides = [self.project(side)[None] for side in (reference, response)]
        masks = [torch.ones(side.shape[:2], dtype=torch.bool, device=side.device) for side in sides]
        return self._scores(sides[0], masks[0], sides[1], masks[1])[0].softmax(dim=0)

    def _scores(self, left: Tensor, left_mask: Tensor, right: Tensor, right_mask: Tensor) -> Tensor:
        """Sharpened cosine less a penalty on relative position: [shape=(batch, left frames, right frames)]."""
        sharpened = nn.functional.normalize(left, dim=-1) * self.log_sharpness.exp()
        cosine = sharpened @ nn.functional.normalize(right, dim=-1).transpose(1, 2)
        offset = relative_positions(left_mask)[:, :, None] - relative_positions(right_mask)[:, None, :]
        return cosine.float() - offset.square() * self.log_position_bias.exp()


class AlignmentPooling(FrameAlignment):
    """One vector for a reference and a response that were encoded apart: mean and maximum of both sides' comparisons."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.out_features = 4 * self.hidden

    def forward(self, reference: Tensor, reference_mask: Tensor, response: Tensor, response_mask: Tensor) -> Tensor:
        """The comparison [shape=(batch, out_features)], float32; arguments as in `compare`."""
        left, right = self.compare(reference, reference_mask, response, response_mask)
        return torch.cat([*_mean_and_maximum(left, reference_mask), *_mean_and_maximum(right, response_mask)], dim=1)


class FrameComparison(nn.Module):
    """Compares each frame of one sequence with its counterpart in the other."""

    def __init__(self, inner: int, hidden: int) -> None:
        super().__init__()
        self.frame = nn.Linear(4 * inner + 2 + len(_LAGS), hidden)
        self.context = nn.Conv1d(hidden, hidden, _CONTEXT, padding=_CONTEXT // 2, groups=hidden)
        self.mix = nn.Linear(hidden, hidden)

    def forward(self, own: Tensor, own_mask: Tensor, other: Tensor, other_mask: Tensor, scores: Tensor) -> Tensor:
        """[shape=(batch, own frames, hidden)], float32, 0 at padding"""
        weights = scores.masked_fill(~other_mask[:, None, :], -torch.inf).softmax(dim=-1)
        counterpart = weights.to(own.dtype) @ other
        features = [
            own,
            counterpart,
            (own - counterpart).abs(),
            own * counterpart,
            _course(weights, own_mask).to(own.dtype),
        ]
        inside = own_mask[:, :, None]
        compared = nn.functional.gelu(self.frame(torch.cat(features, dim=-1))) * inside
        spread = self.context(compared.transpose(1, 2)).transpose(1, 2)
        return nn.functional.gelu(self.mix(compared + spread)).float() * inside


def _mean_and_maximum(frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Over the frames inside, each [shape=(batch, width)]; frames are 0 elsewhere."""
    mean = frames.sum(dim=1) / mask.sum(dim=1, keepdim=True)
    return mean, frames.masked_fill(~mask[:, :, None], -torch.inf).amax(dim=1)


def relative_positions(mask: Tensor) -> Tensor:
    """Place of each frame in its clip, 0 at the start and 1 at the end: [shape=(batch, frames)]."""
    return torch.arange(mask.shape[1], device=mask.device) / mask.sum(dim=1, keepdim=True)


def _course(weights: Tensor, own_mask: Tensor) -> Tensor:
    """Certainty of the counterpart, its distance from the diagonal, and its pace over each lag.

    Parameters
    ----------
    weights
        Attention [shape=(batch, own frames, other frames)].

    Returns
    -------
    [shape=(batch, own frames, 2 + lags)]
        The pace is 1 (even) before the first lag.
    """
    certainty = weights.square().sum(dim=-1)
    places = torch.arange(weights.shape[2], device=weights.device) * _SECONDS_PER_FRAME
    place = weights @ places
    ends = place.masked_fill(~own_mask, 0).amax(dim=1, keepdim=True).clamp(min=_SECONDS_PER_FRAME)
    columns = [certainty, place / ends - relative_positions(own_mask)]
    for lag in _LAGS:
        before = nn.functional.pad(place, (lag, 0))[:, : place.shape[1]]
        moved = (place - before) / (lag * _SECONDS_PER_FRAME)
        columns.append(torch.where(torch.arange(place.shape[1], device=place.device) < lag, 1.0, moved).clamp(-4, 4))
    return torch.stack(columns, dim=-1)
