"""The references of a folder such as `tts_data/`, as one object: opened once, each file read once.

`<hash of voice and text>.wav` holds the speech, `voice.json` says who spoke, `data_paths.csv` (`path,text`) which is which.
Models know the SHA-256 of each file that they were trained with, and are asked with no other.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path

from models.base.files import read_whole
from models.errors import InputError
from models.speech.audio import Waveform, read_audio
from models.speech.checksums import UNKNOWN, Checksums, differing_texts
from models.speech.identity import Identity, check_identity, describe_voice, same_voice, voice_key

VOICE_FILE, PATHS_FILE = "voice.json", "data_paths.csv"
MOST_IDENTITY_BYTES = 1_000_000
MOST_REFERENCE_BYTES = 100_000_000  # of a reference, or of their list


class References:
    """What the expected texts sound like.

    Parameters
    ----------
    folder
        Where they lie.
    trained_with
        The checksum of each reference that the models know, by text; a text without one is not compared.
    voice
        The models', which must have spoken here.

    Raises
    ------
    InputError
        Where nobody has spoken into the folder, or another voice.
    """

    def __init__(self, folder: Path, trained_with: Checksums = UNKNOWN, voice: Identity | None = None) -> None:
        self.folder = folder
        self.voice = read_identity(folder)
        self.trained_with = trained_with
        self._sha256: dict[str, str] = {}
        self._content: dict[str, bytes] = {}  # of what has been read and not been asked for yet
        self._waveforms: dict[str, Waveform] = {}
        if voice is not None and not same_voice(self.voice, voice):
            raise InputError(
                f"{folder}: spoken by another voice ({describe_voice(self.voice)}) than the models were trained with "
                f"({describe_voice(voice)}); give the references of that voice"
            )

    def path(self, text: str) -> Path:
        return reference_path(self.folder, self.voice, text)

    def missing(self, texts: Iterable[str]) -> list[str]:
        """The texts without a reference, each once, in the order given."""
        return [text for text in dict.fromkeys(texts) if not self.path(text).is_file()]

    def load(self, texts: Iterable[str]) -> dict[str, Waveform]:
        """The waveform of each distinct text: float32 [shape=(n,)] at 16 kHz.

        Raises
        ------
        InputError
            Where one is missing, broken, or not what the models were trained with.
        """
        texts = list(dict.fromkeys(texts))
        if missing := self.missing(texts):
            raise InputError(
                f"{self.folder}: no reference for {len(missing)} of {len(texts)} expected texts, the first {missing[0]!r}; "
                f"make them: python preprocess.py --tts_dir {self.folder}, with the --data_dir that holds these texts"
            )
        self.check(texts)
        return {text: self._waveform(text) for text in texts}

    def check(self, texts: Iterable[str]) -> None:
        """Read those that are there. Raises InputError where one is not what the models were trained with."""
        texts = list(texts)
        found = self.checksums(texts)
        if changed := differing_texts(found, self.trained_with):
            path, asked = self.path(changed[0]), [text for text in texts if text in self.trained_with]
            raise InputError(
                f"{path}: not the reference of {changed[0]!r} that the models were trained with: its checksum is another, as of "
                f"{len(changed)} of the {len(asked)} that were looked at; copy the {self.folder.name} of the training here, or "
                f"delete {'this file' if len(changed) == 1 else f'the .wav files of {self.folder}'}, so that it is spoken again"
            )

    def checksums(self, texts: Iterable[str]) -> dict[str, str]:
        """The SHA-256 of each text's reference that is there."""
        texts = list(dict.fromkeys(texts))
        for text in texts:
            if text not in self._sha256 and self.path(text).is_file():
                self._read(text)
        return {text: self._sha256[text] for text in texts if text in self._sha256}

    def _read(self, text: str) -> None:
        path = self.path(text)
        if text not in self.trained_with:
            refuse_foreign([path])
        content = read_whole(path, MOST_REFERENCE_BYTES)
        self._sha256[text], self._content[text] = hashlib.sha256(content).hexdigest(), content

    def _waveform(self, text: str) -> Waveform:
        if text not in self._waveforms:
            try:
                self._waveforms[text] = read_audio(self.path(text), content=self._content.pop(text))
            except InputError as error:
                raise InputError(f"the reference is broken: {error}. Delete it and run preprocess.py again") from error
        return self._waveforms[text]


def read_identity(tts_dir: Path) -> Identity:
    """The voice that spoke the references in `tts_dir`."""
    file = tts_dir / VOICE_FILE
    if not file.is_file():
        raise InputError(
            f"{file}: missing, so there are no references in {tts_dir}; make them: python preprocess.py --tts_dir {tts_dir}"
        )
    try:
        return check_identity(json.loads(read_whole(file, MOST_IDENTITY_BYTES).decode()))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{file}: does not name a voice as JSON ({error}); delete the folder and run preprocess.py again"
        ) from error


def reference_path(tts_dir: Path, identity: Identity, text: str) -> Path:
    key = f"{voice_key(identity)}\n{text}"
    return tts_dir / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.wav"


def listed_texts(tts_dir: Path) -> list[str]:
    file = tts_dir / PATHS_FILE
    if not file.is_file():
        return []
    content = read_whole(file, MOST_REFERENCE_BYTES).decode(
        errors="replace"
    )  # a text that was changed has no reference
    try:
        return [row["text"] for row in csv.DictReader(io.StringIO(content, newline="")) if row.get("text")]
    except csv.Error as error:
        raise InputError(f"{file}: not readable as CSV ({error}); delete it and run preprocess.py again") from error


def refuse_foreign(paths: Iterable[Path]) -> None:
    """Files are meant; what else lies in their places is as if it were not there.

    Raises
    ------
    InputError
        Naming the first that is too large, or a link to a file elsewhere, which a copy would give away.
    """
    folders: dict[Path, Path] = {}
    for path in paths:
        folder = folders.setdefault(path.parent, path.parent.resolve())
        if not path.is_file():
            continue
        if path.is_symlink() and not path.resolve().is_relative_to(folder):
            raise InputError(f"{path}: is a link that leads out of its folder; put the file itself there, or delete it")
        if path.stat().st_size > MOST_REFERENCE_BYTES:
            raise InputError(f"{path}: too large for a file of references; delete it and run preprocess.py again")
