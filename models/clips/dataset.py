"""Clips as a network sees them: reference and response as one log-mel spectrogram or as two, two scalars, a label."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from models.clips.augment import AUGMENTATIONS, Chain
from models.clips.batches import Clip, collate_apart, collate_joined, collate_matched, collate_text
from models.clips.expected_texts import Asked, ExpectedTexts
from models.clips.features import FRAMES_PER_SECOND, HOP_LENGTH, log_mel, magnitude_spectrogram
from models.clips.hearing import SHORTEST_HEARD_SECONDS
from models.clips.joined_answers import LONGEST_PAUSE_SECONDS, AnswerJoiner, one_after_the_other
from models.clips.readings import read_texts
from models.clips.rooms import ROOMS, OtherRecordings
from models.clips.tables import clip_paths, scalars, utterances
from models.clips.tokens import TextTokenizer
from models.recipe import Layout
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, read_audio

POOL_BATCHES = 32  # large enough that a batch's clips differ little in length, small enough that batches vary by epoch


class ComparisonDataset(Dataset[Clip]):
    """The rows of a table, in order. Draws of the augmentation depend on (seed, epoch, row) alone.

    Parameters
    ----------
    table
        METADATA_COLUMNS and, for training, score; word_labels (of `read_word_labels`) where they are known.
    references
        The waveform of each utterance of `tables.utterances`.
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
    drawn_texts
        Of the layout "text": how many wrong texts are drawn, anew in each epoch, for each clip that is right.
    phones
        Of the layout "text": whether the phones are told of all that counts as the expected text, too.
    joined_answers
        Of the layout "text", with drawn texts: in what share of the clips two right answers are heard (`AnswerJoiner`).

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
        drawn_texts: int = 0,
        joined_answers: float = 0.0,
        phones: bool = False,
    ) -> None:
        self.max_frames = max_frames
        self._layout = layout
        self._is_fixed = padding == "fixed"
        self._n_mels = n_mels
        self._sources = clip_paths(data_dir, table["filename"]) if sources is None else sources
        self._utterances = [] if tokenizer is not None else utterances(table)
        self._readings = read_texts(table) if phones else []
        self._references = references
        self._expected = None if tokenizer is None else ExpectedTexts(table, tokenizer, drawn_texts)
        self._joiner = AnswerJoiner(table, joined_answers) if joined_answers else None
        self._reference_features: dict[int, Tensor] = {}
        self._keys = {utterance: index for index, utterance in enumerate(dict.fromkeys(self._utterances))}
        self._scalars = torch.from_numpy(scalars(table))
        self._labels = torch.from_numpy(table.get("score", pd.Series(0.0, table.index)).to_numpy(np.float32))
        self._augment_reference, self._augment_response = AUGMENTATIONS[augment]
        self._room = ROOMS.get(augment)
        self._others = OtherRecordings(table["expected_text"].tolist(), seed)
        self._seed = seed
        self._epoch = torch.zeros((), dtype=torch.int64)

    def share_epoch(self) -> None:
        """Let loading processes, which have a copy of this, see the epoch too."""
        self._epoch.share_memory_()

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

    def hears(self, clip: Clip) -> bool:
        """Whether anything of the response is left in a clip: of a joined one the reference may fill it."""
        if "reference_frames" not in clip or clip["log_mel"].shape[1] < self.max_frames:
            return True
        return self.max_frames - clip["reference_frames"] >= SHORTEST_HEARD_SECONDS * FRAMES_PER_SECOND

    def __getitem__(self, row: int) -> Clip:
        return self.make_clip(row, self.read_response(row))

    def read_response(self, row: int) -> Waveform:
        """As much of the response as can be heard."""
        source, n_samples = self._sources[row], self.max_frames * HOP_LENGTH
        return source[:n_samples] if isinstance(source, np.ndarray) else read_audio(source, n_samples / SAMPLE_RATE_HZ)

    def make_clip(self, row: int, response: Waveform) -> Clip:
        """What a network reads of a row, from its response's waveform."""
        rng = np.random.default_rng([self._seed, int(self._epoch), row])
        response, of_two = self._join(row, response, rng)
        if self._room is not None:
            response = self._room(response, partial(self._others.draw, row, self.read_response), rng)
        if self._expected is not None:
            clip = self._expected.read(row, rng, of_two)
            clip["response"] = self._log_mel(response, self._augment_response, rng)
            if self._readings:
                clip["readings"] = self._readings[row]
        elif self._layout == "apart":
            clip = self._apart(self._references[self._utterances[row]], response, row, rng)
        else:
            reference = self._references[self._utterances[row]]
            magnitudes, boundary = self._joined_spectrogram(reference, response, rng)
            clip = Clip(log_mel=log_mel(magnitudes, self._n_mels), reference_frames=boundary)
        return Clip(**clip, scalars=self._scalars[row], labels=self._labels[row])

    def _join(self, row: int, response: Waveform, rng: np.random.Generator) -> tuple[Waveform, Asked | None]:
        """Two answers instead of one where it is drawn so, and both can be heard and asked for."""
        joined = None if self._joiner is None else self._joiner.draw(row, rng)
        if joined is None or self._expected is None or (asked := self._expected.ask(joined)) is None:
            return response, None
        heard = [response if one == row else self.read_response(one) for one in joined.rows]
        both = one_after_the_other(heard, rng.uniform(0, LONGEST_PAUSE_SECONDS))
        return (both, asked) if len(both) <= self.max_frames * HOP_LENGTH else (response, None)

    def _joined_spectrogram(
        self, reference: Waveform, response: Waveform, rng: np.random.Generator
    ) -> tuple[Tensor, int]:
        """Magnitudes of the joined waveform, each side augmented by itself: float32 [shape=(201, frames)].

        Also how many of the frames are the reference's.
        """
        joined = torch.from_numpy(np.concatenate([reference, response]))
        boundary = round(len(reference) / HOP_LENGTH)
        if self._augment_reference.changes_nothing and self._augment_response.changes_nothing:
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
        key = self._keys[self._utterances[row]] if self._augment_reference.changes_nothing else -1 - row
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
