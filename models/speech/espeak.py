"""The espeak-ng speech synthesiser through ctypes, from the pip package `espeakng-loader`.

The library keeps state from one utterance to the next (flutter and noise tables, wave-generator history), so the same text
spoken twice by one instance differs slightly. `Espeak(fresh=True)` reloads the shared library before each utterance, which
sets all of it back: the same bytes on every run. There is one library in a process, and its state with it: instances take
turns, and one that loads it unloads the other's first. It is not thread-safe, so threads take turns, too.
espeak-ng is GPL-3; it is installed by the user and loaded at run time, and no part of it is shipped.
"""

import _ctypes
import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.errors import InputError

SAMPLE_RATE_HZ = 22050
NORMAL_RATE_WPM = 175  # espeak-ng's own default, in words per minute
SLOWEST_RATE_WPM = 80  # espeak-ng takes a lower rate for this one
NORMAL_PITCH = 50  # espeak-ng's own default, 0-99

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_LONGEST_PATH = 229 if sys.platform == "win32" else 159  # bytes of the path of its data, which it keeps in one more
_OUTPUT_SYNCHRONOUS = 2
_OPTION_PHONEME_EVENTS = 0x0001
_OPTION_DONT_EXIT = 0x8000
_PARAMETER_RATE, _PARAMETER_PITCH, _PARAMETER_RANGE = 1, 3, 4
_FLAG_UTF8, _FLAG_PHONEMES = 1, 0x100  # the latter: [[…]] holds phones
_PHONEMES_AS_IPA = 2
_EVENT_END_OF_LIST, _EVENT_PHONEME = 0, 7


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Phone:
    """One phone as espeak-ng names it (its own ASCII mnemonics; `_:` and the like are pauses).

    Attributes
    ----------
    word_start
        Where in the text the word begins that it belongs to, in characters; espeak-ng takes some pairs of small words
        ("of the") for one.
    """

    name: str
    start_sample: int
    word_start: int = 0


@dataclass(frozen=True)
class Utterance:
    """Speech at `SAMPLE_RATE_HZ`.

    Attributes
    ----------
    samples : int16 [shape=(n,)]
    phones
        In order of time, each starting where the one before ends.
    """

    samples: NDArray[np.int16]
    phones: tuple[Phone, ...]


class _Turn:
    """Whose turn it is to use the library, of the threads of this process; a forked process begins anew."""

    lock = threading.RLock()

    @classmethod
    def start_anew(cls) -> None:
        cls.lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_Turn.start_anew)


def _in_turn(method: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    @functools.wraps(method)
    def waiting(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        with _Turn.lock:
            return method(*args, **kwargs)

    return waiting


class Espeak:
    """A loaded espeak-ng. Use as a context manager, or call `close`."""

    _holder: ClassVar["Espeak | None"] = (
        None  # the instance whose library is loaded; a second load would share its state
    )

    def __init__(self, fresh: bool = True) -> None:
        self._fresh = fresh
        self._library: ctypes.CDLL | None = None
        self._used = False  # has spoken since it was loaded
        self._chunks: list[NDArray[np.int16]] = []
        self._phones: list[Phone] = []
        self._callback = _Callback(self._receive)
        self._load()

    def __enter__(self) -> "Espeak":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @_in_turn
    def speak(
        self,
        text: str,
        voice: str = "en-us",
        rate_wpm: int = NORMAL_RATE_WPM,
        pitch: int = NORMAL_PITCH,
        pitch_range: int = 50,
        told_phones: bool = False,
    ) -> Utterance:
        """Speak `text`. `voice` is a language with an optional variant, such as `en-us+f3`; pitch and range lie in 0-99.

        With `told_phones`, what stands in double brackets is phones by their mnemonics: `[[k'aIb]]`.
        """
        if self._fresh and self._used:
            self.close()
        library = self._ready()
        self._chunks, self._phones, self._used = [], [], True
        if not _has_variant(voice) or library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise InputError(f"espeak-ng has no voice '{voice}'; 'en-us' and 'en-us+f3' are examples that it has")
        for parameter, value in (
            (_PARAMETER_RATE, rate_wpm),
            (_PARAMETER_PITCH, pitch),
            (_PARAMETER_RANGE, pitch_range),
        ):
            library.espeak_SetParameter(parameter, int(value), 0)
        encoded = text.encode() + b"\0"
        flags = _FLAG_UTF8 | (_FLAG_PHONEMES if told_phones else 0)
        status = library.espeak_Synth(encoded, len(encoded), 0, 0, 0, flags, None, None)
        if status != 0 or library.espeak_Synchronize() != 0:
            raise InputError(f"espeak-ng could not speak the text {text!r} with the voice '{voice}'")
        samples = np.concatenate(self._chunks) if self._chunks else np.zeros(0, np.int16)
        return Utterance(samples, tuple(self._phones))

    @_in_turn
    def read_ipa(self, text: str, voice: str = "en-us") -> str:
        """How a text is said in the International Phonetic Alphabet, with stress marks."""
        library = self._ready()
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise InputError(f"espeak-ng has no voice '{voice}'; 'en-us' is one that it has")
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        rest = ctypes.c_char_p(text.encode())
        clauses = []
        while rest.value:
            clauses.append(library.espeak_TextToPhonemes(ctypes.byref(rest), _FLAG_UTF8, _PHONEMES_AS_IPA))
        return " ".join(clause.decode() for clause in clauses if clause).strip()

    @property
    @_in_turn
    def version(self) -> str:
        """espeak-ng's own version, such as 1.52.0."""
        library = self._ready()
        library.espeak_Info.restype = ctypes.c_char_p
        return library.espeak_Info(None).decode().split()[0]

    @_in_turn
    def close(self) -> None:
        """Unload the library, and its state with it."""
        if self._library is not None:
            self._library.espeak_Terminate()
            handle, self._library, Espeak._holder = self._library._handle, None, None
            _unload(handle)

    def _ready(self) -> ctypes.CDLL:
        if self._library is None:
            self._load()
        assert self._library is not None
        return self._library

    @_in_turn
    def _load(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise InputError("the espeak voice needs a package: pip install espeakng-loader") from error
        if Espeak._holder is not None:
            Espeak._holder.close()
        data_path = _data_path()
        library = _open_library(espeakng_loader.get_library_path())
        options = _OPTION_PHONEME_EVENTS | _OPTION_DONT_EXIT
        rate = library.espeak_Initialize(_OUTPUT_SYNCHRONOUS, 0, data_path, options)
        if rate != SAMPLE_RATE_HZ:
            raise InputError(
                f"espeak-ng did not start (it answered {rate}); reinstall it: pip install --force-reinstall espeakng-loader"
            )
        library.espeak_SetSynthCallback(self._callback)
        self._library, self._used, Espeak._holder = library, False, self

    def _receive(self, wav: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[_Event]") -> int:
        """Collect a buffer of samples and the events that lie in it; 0 asks espeak-ng to go on."""
        if wav and count > 0:
            self._chunks.append(np.ctypeslib.as_array(wav, (count,)).astype(np.int16))
        index = 0
        while events[index].type != _EVENT_END_OF_LIST:
            event = events[index]
            if event.type == _EVENT_PHONEME and event.id.string:
                name = event.id.string.decode("ascii", "replace")
                self._phones.append(Phone(name, int(event.sample), max(0, int(event.text_position) - 1)))
            index += 1
        return 0


def _open_library(path: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise InputError(
            f"espeak-ng's library can't be loaded ({error}); reinstall it: pip install --force-reinstall espeakng-loader"
        ) from error


def _data_path() -> bytes:
    """Where its dictionaries and voices are. Of a path that is too long it would take those of another espeak-ng, or none."""
    import espeakng_loader

    path = os.fsencode(espeakng_loader.get_data_path())
    if len(path) > _LONGEST_PATH:
        raise InputError(
            f"espeak-ng's data lie in {os.fsdecode(path)}, a path of {len(path)} bytes where {_LONGEST_PATH} are the most; make "
            "the environment (.venv) in a folder with a shorter path"
        )
    if not os.path.isfile(os.path.join(path, b"en_dict")):
        raise InputError(
            f"espeak-ng's data, {os.fsdecode(path)}, have no English (en_dict), so it would read nothing, or by another's data; "
            "reinstall it: pip install --force-reinstall espeakng-loader"
        )
    return path


def _has_variant(voice: str) -> bool:
    """Whether the variant of a voice such as `en-us+f3` is there; espeak-ng itself passes over one that it does not know."""
    import espeakng_loader

    variant = voice.partition("+")[2]
    return "+" not in voice or (Path(espeakng_loader.get_data_path()) / "voices" / "!v" / variant).is_file()


def _unload(handle: int) -> None:
    if hasattr(_ctypes, "dlclose"):
        _ctypes.dlclose(handle)
    else:  # Windows
        _ctypes.FreeLibrary(handle)  # type: ignore[attr-defined]
