"""The aligned network: reference and response are encoded apart and compared frame by frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.network.alignment import AlignmentPooling, FrameAlignment
from models.network.comparison import ComparisonNetwork
from models.network.encoder import encode, encoder_lengths, frame_mask
from models.network.joint import make_pooling
from models.network.phone_fit import phone_fit
from models.network.whisper import WhisperEncoder
from models.recipe import Recipe


@dataclass(frozen=True)
class EncodedClips:
    """Clips as the encoder hears them.

    Attributes
    ----------
    frames : float32 [shape=(clips, frames, d_model)]
    lengths : int64 [shape=(clips,)]
        Encoder frames of each clip.
    phone_logits : float32 [shape=(clips, frames, classes)]
        Of no classes where there is no phone classifier.
    """

    frames: Tensor
    lengths: Tensor
    phone_logits: Tensor

    @property
    def mask(self) -> Tensor:
        return frame_mask(self.lengths, self.frames.shape[1])

    def take(self, rows: Tensor) -> "EncodedClips":
        """These clips, padded no longer than they need."""
        lengths = self.lengths[rows]
        longest = int(lengths.max())
        return EncodedClips(self.frames[rows, :longest], lengths, self.phone_logits[rows, :longest])


def join_clips(clips: Sequence[EncodedClips]) -> EncodedClips:
    """One batch of clips that were encoded apart, a clip in each."""
    frames, phone_logits = (
        nn.utils.rnn.pad_sequence([getattr(clip, name)[0] for clip in clips], batch_first=True)
        for name in ("frames", "phone_logits")
    )
    return EncodedClips(frames, torch.cat([clip.lengths for clip in clips]), phone_logits)


class AlignedNetwork(ComparisonNetwork):
    """Arguments of a call are those of `batches.collate_apart`."""

    def __init__(self, encoder: WhisperEncoder, recipe: Recipe, phone_classes: int = 0) -> None:
        super().__init__(encoder, recipe, AlignmentPooling(int(encoder.config.d_model)), phone_classes)

    def encode(self, log_mel: Tensor, spectrogram_frames: Tensor) -> EncodedClips:
        """log_mel [shape=(clips, n_mels, frames)], of which each clip has its own number of frames."""
        frames = encode(self.encoder, log_mel, spectrogram_frames).float()
        with torch.autocast(frames.device.type, enabled=False):
            phone_logits = frames[..., :0] if self.phone_head is None else self.phone_head(frames)
        return EncodedClips(frames, encoder_lengths(spectrogram_frames), phone_logits)

    def compare(
        self, reference: EncodedClips, response: EncodedClips, scalars: Tensor, labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Clip by clip; scalars [shape=(clips, 2)]. Returns what `answer` does."""
        left, right = self.frame_dropout(reference.frames), self.frame_dropout(response.frames)
        pooled = self.pooling(left, reference.mask, right, response.mask)
        with torch.autocast(scalars.device.type, enabled=False):
            if self.phone_classes:
                scalars = torch.cat([scalars.float(), self._phone_fit(reference, response)], dim=1)
            return self.answer(pooled, scalars, labels)

    def forward(
        self,
        reference: Tensor,
        reference_frames: Tensor,
        reference_rows: Tensor,
        response: Tensor,
        response_frames: Tensor,
        scalars: Tensor,
        labels: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Returns what `answer` does."""
        references = self.encode(reference, reference_frames).take(reference_rows)
        return self.compare(references, self.encode(response, response_frames), scalars, labels)

    @torch.no_grad()
    def _phone_fit(self, reference: EncodedClips, response: EncodedClips) -> Tensor:
        return phone_fit(reference.phone_logits, reference.lengths, response.phone_logits, response.lengths)


class MatchedNetwork(ComparisonNetwork):
    """Arguments of a call are those of `batches.collate_matched`. Poolings and heads are those of the plain joint network."""

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
                    fit = phone_fit(logits[0], boundaries, logits[1], lengths - boundaries)
                scalars = torch.cat([scalars.float(), fit], dim=1)
            pooled = self.pooling(self.frame_dropout(compared), torch.cat(masks, dim=1))
            return self.answer(pooled, scalars, labels)


def _sides(frames: Tensor, boundaries: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Each clip's frames before its boundary and from there to its end, both padded with zeros."""
    parts = list(zip(frames, boundaries.tolist(), lengths.tolist(), strict=True))
    first, second = [clip[:at] for clip, at, _ in parts], [clip[at:end] for clip, at, end in parts]
    return nn.utils.rnn.pad_sequence(first, batch_first=True), nn.utils.rnn.pad_sequence(second, batch_first=True)
