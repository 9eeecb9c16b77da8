"""Clips as networks take them, and batches of them: padded, with what says where the padding begins."""

import math
from collections.abc import Iterator, Sequence
from typing import TypedDict

import torch
from torch import Tensor, nn

from models.clips.features import pad_frames
from models.clips.readings import stack_readings


class Clip(TypedDict, total=False):
    """`log_mel` and `reference_frames` of joined clips; `reference`, `reference_key` and `response` of those apart; `response`
    and `tokens` of those with their text."""

    log_mel: Tensor  # float32 [shape=(n_mels, frames)]: [reference ; response]
    reference_frames: int  # of them the reference's
    reference: Tensor  # float32 [shape=(n_mels, frames)]
    reference_key: int  # equal for clips with the same reference
    response: Tensor  # float32 [shape=(n_mels, frames)]
    tokens: Tensor  # int64 [shape=(tokens,)]: all that a decoder is fed
    token_labels: (
        Tensor  # float32 [shape=(tokens, 2)]: 1, 0 or nan, not known: said; nothing said before that the text lacks
    )
    drawn_tokens: list[Tensor]  # as `tokens`: of wrong texts for the same response
    drawn_labels: list[Tensor]  # as `token_labels`
    readings: Tensor  # int64 [shape=(readings, words, phones)]: how the expected text may be said, the usual way first; -1: none
    scalars: Tensor  # float32 [shape=(2,)]: task, grade
    labels: Tensor  # float32 [shape=()]: the score, 0 where it is not known


def collate_joined(clips: Sequence[Clip], fixed_frames: int | None = None) -> dict[str, Tensor]:
    """A batch, padded with zeros to the longest clip: log_mel [shape=(batch, n_mels, frames)] and frames [shape=(batch,)].

    Clips of one length go without `frames`: there is nothing to mask, and attention without a mask is faster.

    Parameters
    ----------
    fixed_frames
        Pad each clip with silence to so many, which then count as the clip's.
    """
    spectra = [clip["log_mel"] for clip in clips]
    if fixed_frames is not None:
        spectra = [pad_frames(spectrum, fixed_frames) for spectrum in spectra]
    log_mels, frames = pad_together(spectra)
    batch = {
        "log_mel": log_mels,
        "scalars": torch.stack([clip["scalars"] for clip in clips]),
        "labels": torch.stack([clip["labels"] for clip in clips]),
    }
    return batch if bool((frames == log_mels.shape[2]).all()) else {**batch, "frames": frames}


def collate_matched(clips: Sequence[Clip], fixed_frames: int | None = None) -> dict[str, Tensor]:
    """The same, always with frames, and with reference_frames [shape=(batch,)]."""
    return {
        **collate_joined(clips, fixed_frames),
        "frames": torch.tensor([fixed_frames or clip["log_mel"].shape[1] for clip in clips]),
        "reference_frames": torch.tensor([clip["reference_frames"] for clip in clips]),
    }


def collate_apart(clips: Sequence[Clip]) -> dict[str, Tensor]:
    """A batch of clips in two parts, padded with zeros to the longest. Each distinct reference is there once.

    reference [shape=(references, n_mels, frames)] and reference_frames; reference_rows [shape=(batch,)]: whose is which;
    response [shape=(batch, n_mels, frames)] and response_frames
    """
    references = {clip["reference_key"]: clip["reference"] for clip in clips}
    rows = {key: row for row, key in enumerate(references)}
    reference, reference_frames = pad_together(list(references.values()))
    response, response_frames = pad_together([clip["response"] for clip in clips])
    return {
        "scalars": torch.stack([clip["scalars"] for clip in clips]),
        "labels": torch.stack([clip["labels"] for clip in clips]),
        "reference": reference,
        "reference_frames": reference_frames,
        "reference_rows": torch.tensor([rows[clip["reference_key"]] for clip in clips]),
        "response": response,
        "response_frames": response_frames,
    }


def collate_text(clips: Sequence[Clip]) -> dict[str, Tensor]:
    """A batch of responses and of texts, each padded with zeros to its longest.

    response [shape=(batch, n_mels, frames)] and response_frames [shape=(batch,)]; tokens [shape=(texts, tokens)] and
    token_counts [shape=(texts,)]: each response's own text, then those that were drawn; where there are such, text_rows
    [shape=(texts,)]: which response each text is read with; where words have labels, token_labels [shape=(texts, tokens, 2)];
    where phones are asked for, readings [shape=(batch, readings, words, phones)], -1 where there is no more of any
    """
    response, response_frames = pad_together([clip["response"] for clip in clips])
    drawn = [(row, *pair) for row, clip in enumerate(clips) for pair in _drawn(clip)]
    texts = [*(clip["tokens"] for clip in clips), *(tokens for _, tokens, _ in drawn)]
    batch = {
        "scalars": torch.stack([clip["scalars"] for clip in clips]),
        "labels": torch.stack([clip["labels"] for clip in clips]),
        "response": response,
        "response_frames": response_frames,
        "tokens": nn.utils.rnn.pad_sequence(texts, batch_first=True),
        "token_counts": torch.tensor([len(tokens) for tokens in texts]),
    }
    if drawn:
        batch["text_rows"] = torch.tensor([*range(len(clips)), *(row for row, _, _ in drawn)])
    if all("token_labels" in clip for clip in clips):
        labels = [*(clip["token_labels"] for clip in clips), *(labels for _, _, labels in drawn)]
        batch["token_labels"] = nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=math.nan)
    if all("readings" in clip for clip in clips):
        batch["readings"] = stack_readings([clip["readings"] for clip in clips])
    return batch


def _drawn(clip: Clip) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(clip.get("drawn_tokens", []), clip.get("drawn_labels", []), strict=True)


def pad_together(features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Log-mels of several lengths as one tensor [shape=(n, n_mels, frames)], zeros after their ends, and their lengths."""
    lengths = torch.tensor([feature.shape[1] for feature in features])
    padded = [nn.functional.pad(feature, (0, int(lengths.max()) - feature.shape[1])) for feature in features]
    return torch.stack(padded), lengths
