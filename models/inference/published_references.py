"""The references of published models: those that came with them, and those that are spoken on demand and kept."""

import hashlib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from models.base.environment import cache_folder
from models.base.locks import take_lock
from models.errors import InputError
from models.inference.published import Published
from models.speech.audio import Waveform
from models.speech.checksums import differing_texts
from models.speech.identity import voice_key
from models.speech.options import VoiceOptions
from models.speech.references import References, reference_path
from models.speech.speaking import complete_references

CACHE_VARIABLE = "SPEECH_TEXT_COMPARISON_CACHE"  # of the environment: where what was spoken on demand is kept
_WAIT_SECONDS = 120.0  # for another process that is speaking into the same cache
speaking = threading.Lock()  # held by whoever speaks in this process: synthesisers are not thread-safe


class PublishedReferences:
    """What utterances sound like in the voice that models were trained with.

    Parameters
    ----------
    cache_dir
        Where those are kept that have to be spoken; None: a folder of this voice in `default_cache`.
    voice
        Where the voice is, if not where the one who published the models had it; another voice is refused.
    """

    def __init__(self, published: Published, cache_dir: Path | None, voice: VoiceOptions | None) -> None:
        self._published = published
        self._cache = cache_dir or default_cache() / _folder_name(voice_key(published.voice))
        self._voice = voice or VoiceOptions(published.voice["source"], published.voice["speed"])

    def load(self, said: Iterable[str]) -> dict[str, Waveform]:
        """What utterances sound like: float32 [shape=(n,)] at 16 kHz each; spoken now where they never were."""
        texts = list(dict.fromkeys(said))
        shipped, paths = self._published.references, self._shipped(texts)
        found = {} if shipped is None or not paths else self._load_shipped(shipped, paths)
        missing = [text for text in texts if text not in found]
        if missing:
            spoken, unspoken = self._speak(missing)
            if unspoken:
                raise InputError(next(iter(unspoken.values())))
            found |= spoken.load(missing)
        return found

    def speak(self, said: Iterable[str]) -> dict[str, str]:
        """Speak the utterances that have no reference yet; returns those that the voice can't speak, and why."""
        texts = list(dict.fromkeys(said))
        shipped = self._shipped(texts)
        missing = [text for text in texts if text not in shipped]
        return self._speak(missing)[1] if missing else {}

    def _shipped(self, texts: Sequence[str]) -> dict[str, Path]:
        """The published references, as far as they are there."""
        shipped, voice = self._published.references, self._published.voice
        paths = {} if shipped is None else {text: reference_path(shipped, voice, text) for text in texts}
        return {text: path for text, path in paths.items() if path.is_file()}

    def _load_shipped(self, shipped: Path, paths: Mapping[str, Path]) -> dict[str, Waveform]:
        """Known are the checksums of training, and those of the files that were published."""
        published = self._published.reference_sha256
        expected = {text: published[path.name] for text, path in paths.items() if published}
        references = References(shipped, {**self._published.trained_with, **expected})
        if changed := differing_texts(references.checksums(paths), expected):
            raise InputError(f"{paths[changed[0]]}: is not the file that was published; copy the folder again")
        return references.load(paths)

    def _speak(self, texts: list[str]) -> tuple[References, dict[str, str]]:
        self._cache.mkdir(parents=True, exist_ok=True)
        held = f"{self._cache}: another process has been speaking into it for {_WAIT_SECONDS:.0f} s; try again later"
        with speaking:
            lock = take_lock(self._cache / ".speaking.lock", _WAIT_SECONDS, held)
            try:
                trained_with = self._published.trained_with
                return complete_references(self._cache, texts, self._published.voice, self._voice, trained_with)
            finally:
                lock.release()


def default_cache() -> Path:
    """Where references are kept that were spoken on demand, by voice."""
    if CACHE_VARIABLE in os.environ:
        return Path(os.environ[CACHE_VARIABLE])
    return cache_folder() / "speech-text-comparison"


def _folder_name(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:20]
