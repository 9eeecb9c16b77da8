"""Clips as a network sees them: reference and response as one log-mel spectrogram or as two, two scalars, a label."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler

from models.clips.augment import AUGMENTATIONS, NOTHING, Chain
from models.clips.features import HOP_LENGTH, log_mel, magnitude_spectrogram, pad_frames
from models.clips.tables import clip_paths, scalars
from models.clips.tokens import TextTokenizer
from models.recipe import Layout
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, read_audio

POOL_BATCHES = 32  # large enough that a batch's clips differ little in length, small enough that batches vary by epoch


class Clip(TypedDict, total=False):
    """`log_mel` and `reference_frames` of joined clips; `reference`, `reference_key` and `response` of those apart; `response`
    and `tokens` of those with their text."""

    log_mel: Tensor  # float32 [shape=(n_mels, frames)]: [reference ; response]
    reference_frames: int  # of them the reference's
    reference: Tensor  # float32 [shape=(n_mels, frames)]
    reference_key: int  # equal for clips with the same reference
    response: Tensor  # float32 [shape=(n_mels, frames)]
    tokens: Tensor  # int64 [shape=(tokens,)]: all that a decoder is fed
    token_labels: Tensor  # float32 [shape=(tokens,)]: 1 right, 0 wrong, nan not known; not there where none is known
    scalars: Tensor  # float32 [shape=(2,)]: task, grade
    labels: Tensor  # float32 [shape=()]: the score, 0 where it is not known


class ComparisonDataset(Dataset[Clip]):
    """The rows of a table, in order. Draws of the augmentation depend on (seed, epoch, row) alone.

    Parameters
    ----------
    table
        METADATA_COLUMNS and, for training, score; word_labels (of `read_word_labels`) where they are known.
    references
        The waveform of each expected text.
    max_frames
        Spectrogram frames at which the joined input is cut.
    augment
        A key of AUGMENTATIONS.
    layout
        One spectrogram of both sides ("joined"), the same with the place where the response begins ("matched"), one of
        each ("apart"), or one of the response with the expected text's tokens ("text").
    padding
        As in a recipe.
    sources
        Each row's response, as a file or as a waveform in memory; None: the files of `data_dir` that `table` names.
    tokenizer
        Of the layout "text", which needs no references.

    Raises
    ------
    InputError
        Naming a text that the tokenizer does not take.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        data_dir: Path,
        references: Mapping[str, Waveform],
        n_mels: int,
        max_frames: int,
        augment: str = "none",
        seed: int = 0,
        layout: Layout = "joined",
        padding: str = "batch",
        sources: Sequence[Path | Waveform] | None = None,
        tokenizer: TextTokenizer | None = None,
    ) -> None:
        self.max_frames = max_frames
        self._layout = layout
        self._is_fixed = padding == "fixed"
        self._n_mels = n_mels
        self._sources = clip_paths(data_dir, table["filename"]) if sources is None else sources
        self._texts: list[str] = table["expected_text"].tolist()
        self._references = references
        self._tokens = {text: torch.tensor(tokenizer.encode(text)) for text in set(self._texts)} if tokenizer else {}
        self._reference_features: dict[int, Tensor] = {}
        self._keys = {text: index for index, text in enumerate(dict.fromkeys(self._texts))}
        self._word_labels: list[tuple[float, ...]] = table["word_labels"].tolist() if "word_labels" in table else []
        self._words = {text: tokenizer.words(text) for text in self._tokens} if tokenizer and self._word_labels else {}
        self._scalars = torch.from_numpy(scalars(table))
        self._labels = torch.from_numpy(table.get("score", pd.Series(0.0, table.index)).to_numpy(np.float32))
        self._augment_reference, self._augment_response = AUGMENTATIONS[augment]
        self._seed = seed
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # seen by the loader's worker processes

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the augmentation is drawn for."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self._sources)

    def collate(self, clips: Sequence[Clip]) -> dict[str, Tensor]:
        """A batch in this layout, as the network's arguments."""
        if self._layout == "text":
            return collate_text(clips)
        if self._layout == "apart":
            return collate_apart(clips)
        collate = collate_matched if self._layout == "matched" else collate_joined
        return collate(clips, self.max_frames if self._is_fixed else None)

    def frames_read(self, clip: Clip) -> int:
        """Spectrogram frames of a clip that a network reads for it alone, before any padding to its neighbours."""
        if self._is_fixed:
            return self.max_frames
        return (clip["log_mel"] if "log_mel" in clip else clip["response"]).shape[1]

    def __getitem__(self, row: int) -> Clip:
        return self.make_clip(row, self.read_response(row))

    def read_response(self, row: int) -> Waveform:
        """As much of the response as can be heard."""
        source, n_samples = self._sources[row], self.max_frames * HOP_LENGTH
        return source[:n_samples] if isinstance(source, np.ndarray) else read_audio(source, n_samples / SAMPLE_RATE_HZ)

    def make_clip(self, row: int, response: Waveform) -> Clip:
        """What a network reads of a row, from its response's waveform."""
        text = self._texts[row]
        rng = np.random.default_rng([self._seed, int(self._epoch), row])
        if self._layout == "text":
            spectrum = self._log_mel(response, self._augment_response, rng)
            clip = Clip(response=spectrum, tokens=self._tokens[text])
            if self._word_labels:
                of_words = [*self._word_labels[row], math.nan]  # the prompt's is the last one
                clip["token_labels"] = torch.tensor([of_words[word] for word in self._words[text]])
        elif self._layout == "apart":
            clip = self._apart(self._references[text], response, row, rng)
        else:
            magnitudes, boundary = self._joined_spectrogram(self._references[text], response, rng)
            clip = Clip(log_mel=log_mel(magnitudes, self._n_mels), reference_frames=boundary)
        return Clip(**clip, scalars=self._scalars[row], labels=self._labels[row])

    def _joined_spectrogram(
        self, reference: Waveform, response: Waveform, rng: np.random.Generator
    ) -> tuple[Tensor, int]:
        """Magnitudes of the joined waveform, each side augmented by itself: float32 [shape=(201, frames)].

        Also how many of the frames are the reference's.
        """
        joined = torch.from_numpy(np.concatenate([reference, response]))
        boundary = round(len(reference) / HOP_LENGTH)
        if self._augment_reference is NOTHING and self._augment_response is NOTHING:
            magnitudes = magnitude_spectrogram(joined, self.max_frames)
            return magnitudes, min(boundary, magnitudes.shape[1] - 1)
        magnitudes = magnitude_spectrogram(joined, 2 * self.max_frames)
        boundary = min(boundary, magnitudes.shape[1] - 1)
        first = self._augment_reference(magnitudes[:, :boundary], rng) if boundary else magnitudes[:, :0]
        second = self._augment_response(magnitudes[:, boundary:], rng)
        both = torch.cat([first, second], dim=1)[:, : self.max_frames]
        return both, min(first.shape[1], both.shape[1] - 1)

    def _apart(self, reference: Waveform, response: Waveform, row: int, rng: np.random.Generator) -> Clip:
        """Both sides by themselves. A reference that is augmented is this clip's alone; others are computed once."""
        key = self._keys[self._texts[row]] if self._augment_reference is NOTHING else -1 - row
        spectrum = self._reference_features.get(key)
        if spectrum is None:
            spectrum = self._log_mel(reference, self._augment_reference, rng)
        if key >= 0:
            self._reference_features[key] = spectrum
        return Clip(
            reference=spectrum, reference_key=key, response=self._log_mel(response, self._augment_response, rng)
        )

    def _log_mel(self, waveform: Waveform, augment: Chain, rng: np.random.Generator) -> Tensor:
        magnitudes = magnitude_spectrogram(torch.from_numpy(waveform), self.max_frames)
        return log_mel(augment(magnitudes, rng)[:, : self.max_frames], self._n_mels)


class SeveralForms(Dataset[tuple[Clip, ...]]):
    """The same rows in the forms that several networks read: each response is decoded once."""

    def __init__(self, forms: Sequence[ComparisonDataset]) -> None:
        self.forms = forms
        self._longest = max(forms, key=lambda form: form.max_frames)

    def __len__(self) -> int:
        return len(self._longest)

    def __getitem__(self, row: int) -> tuple[Clip, ...]:
        response = self._longest.read_response(row)
        return tuple(form.make_clip(row, response) for form in self.forms)


class EpochShuffle(Sampler[int]):
    """Rows in an order drawn from (seed, epoch), cut to whole batches, so that an epoch has the same length everywhere.

    Each batch holds clips of similar length: rows are shuffled, sorted by length within pools of `POOL_BATCHES`, and the
    batches shuffled again.

    Parameters
    ----------
    lengths
        Of each row, in any unit [shape=(rows,)].
    """

    def __init__(self, lengths: Sequence[float], batch_size: int, seed: int) -> None:
        self._lengths = np.asarray(lengths)
        self._batch_size = batch_size
        self._length = len(lengths) // batch_size * batch_size
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self):  # type: ignore[no-untyped-def]
        rng = np.random.default_rng([self._seed, self._epoch])
        order = rng.permutation(len(self._lengths))[: self._length]
        pools = np.array_split(order, np.arange(0, self._length, POOL_BATCHES * self._batch_size)[1:])
        alike = np.concatenate([pool[np.argsort(self._lengths[pool], kind="stable")] for pool in pools])
        batches = alike.reshape(-1, self._batch_size)
        return iter(batches[rng.permutation(len(batches))].ravel().tolist())


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

    response [shape=(batch, n_mels, frames)] and response_frames [shape=(batch,)]; tokens [shape=(batch, tokens)] and
    token_counts; where words have labels, token_labels of the tokens' shape
    """
    response, response_frames = pad_together([clip["response"] for clip in clips])
    return {
        "scalars": torch.stack([clip["scalars"] for clip in clips]),
        "labels": torch.stack([clip["labels"] for clip in clips]),
        "response": response,
        "response_frames": response_frames,
        "tokens": nn.utils.rnn.pad_sequence([clip["tokens"] for clip in clips], batch_first=True),
        "token_counts": torch.tensor([len(clip["tokens"]) for clip in clips]),
        **_padded_labels(clips),
    }


def _padded_labels(clips: Sequence[Clip]) -> dict[str, Tensor]:
    if not all("token_labels" in clip for clip in clips):
        return {}
    labels = [clip["token_labels"] for clip in clips]
    return {"token_labels": nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=math.nan)}


def pad_together(features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Log-mels of several lengths as one tensor [shape=(n, n_mels, frames)], zeros after their ends, and their lengths."""
    lengths = torch.tensor([feature.shape[1] for feature in features])
    padded = [nn.functional.pad(feature, (0, int(lengths.max()) - feature.shape[1])) for feature in features]
    return torch.stack(padded), lengths
