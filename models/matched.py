"""The matched network: one input of reference and response, each frame compared with its counterpart on the other side.

A large encoder that was pretrained on much speech learns by itself to compare two halves of its input. A small one does
not, from a few thousand clips; here it is shown where to look. It hears each side for itself, as it was pretrained.
"""

import torch
from torch import Tensor, nn
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from models.alignment import FrameAlignment
from models.encoder import encode, encoder_lengths, frame_mask
from models.evidence import phone_evidence
from models.network import ComparisonNetwork
from models.pooling import make_pooling
from models.recipe import Recipe


class MatchedNetwork(ComparisonNetwork):
    """Arguments of a call are those of `dataset.collate_matched`. Poolings and heads are those of the plain joint network."""

    def __init__(self, encoder: WhisperEncoder, recipe: Recipe, phone_classes: int = 0) -> None:
        matching = FrameAlignment(int(encoder.config.d_model))
        super().__init__(encoder, recipe, make_pooling(recipe.pooling, matching.hidden), phone_classes)
        self.matching = matching

    def forward(
        self, log_mel: Tensor, frames: Tensor, reference_frames: Tensor, scalars: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """log_mel [shape=(batch, n_mels, spectrogram frames)]; returns what `answer` does."""
        lengths = encoder_lengths(frames)
        boundaries = torch.minimum((reference_frames + 1) // 2, lengths - 1).clamp(min=1)  # no side is empty
        encoded = encode(self.encoder, log_mel, frames, boundaries)
        with torch.autocast(encoded.device.type, enabled=False):
            reference, response = _sides(encoded.float(), boundaries, lengths)
            masks = frame_mask(boundaries, reference.shape[1]), frame_mask(lengths - boundaries, response.shape[1])
            compared = torch.cat(self.matching.compare(reference, masks[0], response, masks[1]), dim=1)
            if self.phone_head is not None:
                with torch.no_grad():
                    logits = self.phone_head(reference), self.phone_head(response)
                    evidence = phone_evidence(logits[0], boundaries, logits[1], lengths - boundaries)
                scalars = torch.cat([scalars.float(), evidence], dim=1)
            pooled = self.pooling(self.frame_dropout(compared), torch.cat(masks, dim=1))
            return self.answer(pooled, scalars, labels)


def _sides(frames: Tensor, boundaries: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Each clip's frames before its boundary and from there to its end, both padded with zeros."""
    parts = list(zip(frames, boundaries.tolist(), lengths.tolist(), strict=True))
    first, second = [clip[:at] for clip, at, _ in parts], [clip[at:end] for clip, at, end in parts]
    return nn.utils.rnn.pad_sequence(first, batch_first=True), nn.utils.rnn.pad_sequence(second, batch_first=True)
