"""Piper's voices (VITS exported to ONNX, with their settings as JSON beside them), through onnxruntime: neural, and told phones.

A voice reads espeak-ng's phones in the International Phonetic Alphabet; those of words that are told phones are written from
ARPAbet. Without noise, which its file would draw anew each time, it speaks the same text with the same bytes.
"""

import json
import unicodedata
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from models.base.files import read_whole, sha256_of_file
from models.errors import InputError
from models.speech.arpabet import ipa_word
from models.speech.audio import Waveform, resample
from models.speech.espeak import Espeak
from models.speech.identity import Identity
from models.speech.utterance import split_words

PREFIX = "piper:"
_START, _END, _BETWEEN = "^", "$", "_"
_MOST_SETTINGS_BYTES = 10_000_000


class PiperVoice:
    """A voice from FILE.onnx, whose settings are FILE.onnx.json.

    Raises
    ------
    InputError
        Naming the file that is missing or no Piper voice with one speaker, or the package that is missing.
    """

    def __init__(self, file: Path, speed: float) -> None:
        settings_file = Path(f"{file}.json")
        if not file.is_file():
            raise InputError(f"{file}: no such file; give --voice {PREFIX}FILE.onnx")
        self._settings = _read_settings(settings_file)
        self._session = _open(file)
        self._espeak = Espeak(fresh=False)
        self._speed = speed
        self.identity: Identity = {
            "engine": "piper",
            "version": self._espeak.version,
            "speed": float(speed),
            "weights_sha256": sha256_of_file(file),
            "settings_sha256": sha256_of_file(settings_file),
            "source": f"{PREFIX}{file}",
        }
        self._try(file)

    def speak(self, utterance: str) -> Waveform:
        ids = self._ids(self._ipa(utterance))
        if not ids:
            return np.zeros(0, np.float32)
        length = float(self._settings["inference"]["length_scale"]) / self._speed
        inputs = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array([0.0, length, 0.0], np.float32),  # noise of the sound, pace, noise of the durations
        }
        (samples,) = self._session.run(None, inputs)
        return resample(np.asarray(samples, np.float32).reshape(-1), int(self._settings["audio"]["sample_rate"]))

    def _try(self, file: Path) -> None:
        """Shows a model that can't speak, or settings of another one, before any long work."""
        try:
            self.speak("a")
        except InputError as error:
            raise InputError(f"{file}.json: {error}") from error
        except Exception as error:  # of several kinds, by what is wrong
            raise InputError(
                f"{file}: does not speak as a Piper voice with its settings ({str(error)[:200]}); get both files again"
            ) from error

    def _ipa(self, utterance: str) -> str:
        """Runs of words that are told no phones are read by espeak-ng together, as in a sentence."""
        pieces: list[str] = []
        for is_told, run in groupby(split_words(utterance), key=lambda word: word[1] is not None):
            words = list(run)
            if is_told:
                pieces += [ipa_word(phones or ()) for _, phones in words]
            else:
                language = self._settings["espeak"]["voice"]
                pieces.append(self._espeak.read_ipa(" ".join(word for word, _ in words), language))
        return " ".join(piece for piece in pieces if piece)

    def _ids(self, ipa: str) -> list[int]:
        """Each sign's, with the blank between; none where no sign is known."""
        known: dict[str, list[int]] = self._settings["phoneme_id_map"]
        signs = [sign for sign in unicodedata.normalize("NFD", ipa) if sign in known]
        if not any(sign.isalpha() for sign in signs):
            return []
        between = known[_BETWEEN]
        return [*known[_START], *between, *(one for sign in signs for one in [*known[sign], *between]), *known[_END]]


def _read_settings(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise InputError(f"{file}: missing; a Piper voice is FILE.onnx with its settings beside it, FILE.onnx.json")
    try:
        settings = json.loads(read_whole(file, _MOST_SETTINGS_BYTES).decode("utf-8"))
        speakers, kind = settings["num_speakers"], settings.get("phoneme_type", "espeak")
        known = settings["phoneme_id_map"]
        needed = (settings["espeak"]["voice"], settings["audio"]["sample_rate"], settings["inference"]["length_scale"])
        missing = [sign for sign in (_START, _END, _BETWEEN) if sign not in known]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: not the settings of a Piper voice ({error!r}); get both files again") from error
    if missing or not all(needed):
        raise InputError(f"{file}: not the settings of a Piper voice (lacks {missing or needed}); get both files again")
    if speakers != 1 or kind != "espeak":
        raise InputError(
            f"{file}: a voice with {speakers} speakers that reads {kind} phonemes; take one with one speaker that reads espeak's"
        )
    return dict(settings)


def _open(file: Path) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError("Piper's voices need a package: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # several could add up in another order
    options.log_severity_level = 4  # what is wrong is told once, by us
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of several kinds, by what is wrong
        raise InputError(f"{file}: onnxruntime can't open it as a model ({str(error)[:200]}); get it again") from error
    names = {item.name for item in session.get_inputs()}
    if names != {"input", "input_lengths", "scales"}:
        raise InputError(f"{file}: no Piper voice with one speaker: its inputs are {', '.join(sorted(names))}")
    return session
