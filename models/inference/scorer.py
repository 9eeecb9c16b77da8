"""Trained models with one line: `Scorer.from_pretrained("folder or hub id").score("clip.wav", "old", "deletion", "KG")`."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.base.compute import resolve_device, resolve_precision
from models.base.files import SHIPPED_MODEL, sole_writer
from models.ensemble.metrics import Values
from models.ensemble.source import EnsembleSource
from models.errors import InputError
from models.inference.answers import Answer, as_sources, as_table, check_waveform
from models.inference.hearing import find_unheard, tell_unheard
from models.inference.networks import KeptNetworks
from models.inference.origins import locate, read_ensemble
from models.inference.published import Published, read_published, write_published
from models.inference.published_references import PublishedReferences
from models.inference.self_corrections import Counted, score_counted
from models.inference.texts import heard_utterances
from models.recipe import Recipe
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, resample
from models.speech.checksums import refuse_older_speech
from models.speech.options import VoiceOptions
from models.speech.pronunciation_table import NOTHING_GIVEN, given_beside, to_cell


class Scorer:
    """An ensemble, or a single model, with the voice that its references need. Scores are those of infer.py.

    Networks are built once and stay in memory, up to `networks.KEPT_BYTES`.

    Parameters
    ----------
    device, precision
        As the options of infer.py.
    cache_dir
        Where references are kept that have to be spoken.
    voice
        Where the voice is, if not where the one who published the models had it; another voice is refused.
    accept_self_corrections
        Let an answer count by how it ends where it is wrong as a whole: see `self_corrections`.
    """

    def __init__(
        self,
        published: Published,
        device: str = "auto",
        precision: str = "auto",
        cache_dir: str | Path | None = None,
        voice: VoiceOptions | None = None,
        accept_self_corrections: bool = False,
    ) -> None:
        self.published = published
        self.accept_self_corrections = accept_self_corrections
        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        self._networks = KeptNetworks(self.device, self.precision)
        self._references = PublishedReferences(published, _path(cache_dir), voice)
        self._given = NOTHING_GIVEN if published.references is None else given_beside(published.references)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path = SHIPPED_MODEL,
        *,
        revision: str | None = None,
        device: str = "auto",
        precision: str = "auto",
        cache_dir: str | Path | None = None,
        voice: VoiceOptions | None = None,
        accept_self_corrections: bool = False,
    ) -> "Scorer":
        """A folder written by `save_pretrained` or publish.py, or a Hugging Face hub id (`revision`: its branch or commit).

        Without any, the model that comes with the project.

        Raises
        ------
        InputError
            Where it can't be reached, is not complete, or was changed.
        """
        published = read_published(locate(str(source), revision))
        return cls(published, device, precision, cache_dir, voice, accept_self_corrections)

    @classmethod
    def from_config(
        cls,
        config_file: str | Path,
        tts_dir: str | Path | None = None,
        *,
        folds_per_model: int | None = None,
        device: str = "auto",
        precision: str = "auto",
        cache_dir: str | Path | None = None,
        voice: VoiceOptions | None = None,
        accept_self_corrections: bool = False,
    ) -> "Scorer":
        """The ensemble of get_config.py, from its checkpoints; `tts_dir` holds references that are there already."""
        source = EnsembleSource(Path(config_file))
        published = read_ensemble(source, _path(tts_dir), folds_per_model)
        return cls(published, device, precision, cache_dir, voice, accept_self_corrections)

    @classmethod
    def from_checkpoints(
        cls,
        files: Sequence[str | Path],
        tts_dir: str | Path | None = None,
        *,
        device: str = "auto",
        precision: str = "auto",
        cache_dir: str | Path | None = None,
        voice: VoiceOptions | None = None,
        accept_self_corrections: bool = False,
    ) -> "Scorer":
        """Trained folds, one or several, blended with equal weights; `tts_dir` as of `from_config`.

        Raises
        ------
        InputError
            Where one can't be read, or they don't belong together.
        """
        if not files:
            raise InputError("no checkpoints: give the .pth file of at least one trained fold")
        source = EnsembleSource(Path(), tuple(map(Path, files)))
        published = read_ensemble(source, _path(tts_dir))
        return cls(published, device, precision, cache_dir, voice, accept_self_corrections)

    def save_pretrained(self, folder: Path, card: str = "") -> None:
        """Write the folder that `from_pretrained` reads; it appears whole or not at all.

        Raises
        ------
        InputError
            Where there is something already.
        """
        if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
            raise InputError(f"{folder}: is not empty; give another folder, or delete it")
        with sole_writer(folder):
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name[:50]}.", suffix=".tmp", dir=folder.parent))
            try:
                write_published(temporary, self.published, card)
                temporary.chmod(0o755)  # mkdtemp keeps others out
                os.replace(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)

    def score(
        self, audio: Path | str | Waveform, text: str, task: str, grade: str, sample_rate_hz: int = SAMPLE_RATE_HZ
    ) -> float:
        """The probability that an answer was right.

        Parameters
        ----------
        audio
            A file, or a waveform at `sample_rate_hz`: floats in [-1, 1] [shape=(n,)].
        task, grade
            One of TASKS and of GRADES.

        Raises
        ------
        InputError
            Where one of them is wrong, the audio can't be read or is no answer, or nothing of it would be heard.
        """
        if isinstance(audio, np.ndarray) and sample_rate_hz != SAMPLE_RATE_HZ:
            audio = resample(check_waveform(audio), sample_rate_hz)
        return float(self.score_batch([Answer(audio, text, task, grade)])[0])

    def score_batch(
        self,
        answers: Sequence[Answer],
        num_workers: int = 0,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Values:
        """The probability of each answer: float64 [shape=(answers,)], inside (0, 1).

        Parameters
        ----------
        num_workers
            Processes that read audio; 0: this one.
        on_progress
            Told after each step how much of the work is done, and how much there is.

        Raises
        ------
        InputError
            As of `score`, naming the first that is wrong.

        Warns
        -----
        PartlyHeard
            Where the models don't hear all of an answer.
        """
        return self._score(answers, num_workers, on_progress).scores

    def score_counted(self, answers: Sequence[Answer]) -> Counted:
        """As `score_batch`, with what of each answer counts."""
        return self._score(answers, 0, lambda done, total: None)

    def _score(self, answers: Sequence[Answer], num_workers: int, on_progress: Callable[[int, int], None]) -> Counted:
        """Of the two above, whose callers are warned."""
        if not answers:
            return Counted(np.zeros(0), np.zeros(0))
        table = as_table([self.with_pronunciation(answer) for answer in answers])
        said = heard_utterances(self.published.members, table)
        refuse_older_speech(zip(table["expected_text"], said, strict=False), self.published.trained_with)
        (sources, seconds), references = as_sources([answer.audio for answer in answers]), self.references(said)
        tell_unheard(find_unheard(self.recipes, seconds, said, references))
        return score_counted(
            self.published.members,
            table,
            Path(),
            references,
            self.device,
            self.precision,
            num_workers,
            sources=sources,
            accept_self_corrections=self.accept_self_corrections,
            on_progress=on_progress,
            correction=self.published.correction,
            network_of=self._networks,
        )

    @property
    def recipes(self) -> list[Recipe]:
        """Of the members."""
        return [member.checkpoint.recipe for member in self.published.members]

    def with_pronunciation(self, answer: Answer) -> Answer:
        """With the one that was given for its text as the references were spoken, where it has none of its own."""
        given = self._given.get((answer.task, answer.text), ())
        return replace(answer, pronunciation=to_cell(given)) if given and not answer.pronunciation else answer

    def references(self, said: Iterable[str]) -> dict[str, Waveform]:
        """What utterances sound like: float32 [shape=(n,)] at 16 kHz each; spoken now where they never were."""
        return self._references.load(said)

    def speak(self, said: Iterable[str]) -> dict[str, str]:
        """Speak the utterances that have no reference yet; returns those that the voice can't speak, and why."""
        return self._references.speak(said)


def _path(folder: str | Path | None) -> Path | None:
    return None if folder is None else Path(folder)
