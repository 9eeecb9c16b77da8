"""The matched network: one input of reference and response, each frame compared with its counterpart on the other side.

A large encoder that was pretrained on much speech learns by itself to compare two halves of its input. A small one does
not, from a few thousand clips; here it is shown where to look.
"""

import torch
from torch import Tensor, nn
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from models.alignment import FrameAlignment
from models.encoder import encode, encoder_lengths, frame_mask
from models.network import ComparisonNetwork
from models.pooling import make_pooling
from models.recipe import Recipe


class MatchedNetwork(ComparisonNetwork):
    """Arguments of a call are those of `dataset.collate_joined`. Poolings and heads are those of the plain joint network."""

    def __init__(self, encoder: WhisperEncoder, recipe: Recipe) -> None:
        matching = FrameAlignment(int(encoder.config.d_model))
        super().__init__(encoder, recipe, make_pooling(recipe.pooling, matching.hidden))
        self.matching = matching
        self.separate_layers = len(encoder.layers) // 2

    def forward(
        self, log_mel: Tensor, frames: Tensor, reference_frames: Tensor, scalars: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """log_mel [shape=(batch, n_mels, spectrogram frames)]; returns what `answer` does."""
        lengths = encoder_lengths(frames)
        boundaries = torch.minimum((reference_frames + 1) // 2, lengths - 1).clamp(min=1)  # no side is empty
        encoded = encode(self.encoder, log_mel, frames, boundaries, self.separate_layers)
        with torch.autocast(encoded.device.type, enabled=False):
            reference, reference_mask = _cut(encoded.float(), torch.zeros_like(boundaries), boundaries)
            response, response_mask = _cut(encoded.float(), boundaries, lengths)
            compared = torch.cat(self.matching.compare(reference, reference_mask, response, response_mask), dim=1)
            inside = torch.cat([reference_mask, response_mask], dim=1)
            return self.answer(self.pooling(self.frame_dropout(compared), inside), scalars, labels)


def _cut(frames: Tensor, starts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """Each clip's frames from its start to its end, padded with zeros, and where they are not padding."""
    parts = [clip[start:end] for clip, start, end in zip(frames, starts.tolist(), ends.tolist(), strict=True)]
    padded = nn.utils.rnn.pad_sequence(parts, batch_first=True)
    return padded, frame_mask(ends - starts, padded.shape[1])
