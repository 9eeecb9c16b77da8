"""Speaking what is missing of the references: a file is written whole or not at all, so one that is there is finished."""

import csv
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from pathlib import Path

from tqdm import tqdm

from models.base.files import replace_when_done, sole_writer
from models.base.processes import possible_processes
from models.errors import InputError
from models.speech.audio import Waveform, write_wav
from models.speech.checksums import UNKNOWN, Checksums, name_texts
from models.speech.identity import Identity, describe_voice, same_voice
from models.speech.options import VoiceOptions
from models.speech.references import PATHS_FILE, VOICE_FILE, References, listed_texts, read_identity, reference_path
from models.speech.samples import check_samples, is_silent
from models.speech.voices import Voice, make_voice

LEFTOVER_SECONDS = 60  # a temporary file older than this belongs to a run that was killed
LONGEST_SPOKEN_TEXT = 5_000  # characters: minutes of speech, where inputs are cut after seconds
PROBE = "one"  # what every voice can say


def complete_references(
    tts_dir: Path, texts: list[str], voice: Identity, source: VoiceOptions, trained_with: Checksums = UNKNOWN
) -> tuple[References, dict[str, str]]:
    """Open a folder's references, and make sure that every text has one by the voice that the models know.

    Parameters
    ----------
    voice, trained_with
        The models'.
    source
        Where the voice is, if something has to be spoken.

    Returns
    -------
    tuple[References, dict[str, str]]
        The references, and the texts that the voice can't speak, though it speaks others, with the reason.

    Raises
    ------
    InputError
        Where the folder holds another voice's references or others than the models were trained with, or the voice can't
        speak here, or speaks otherwise.
    """
    found = References(tts_dir, trained_with, voice) if (tts_dir / VOICE_FILE).exists() else None
    if found is not None:
        found.check(texts)
    missing = list(dict.fromkeys(texts)) if found is None else found.missing(texts)
    unspoken: dict[str, str] = {}
    if missing:
        try:
            speak_references(tts_dir, texts, source, expected=voice, unspoken=unspoken)
        except InputError as error:
            raise InputError(
                f"{len(missing)} expected texts have no reference in {tts_dir}, the first {missing[0]!r}, and the voice can't "
                f"speak them here: {error}\n"
                f"Speak them where the voice is (preprocess.py) and copy {tts_dir}, or say where it is with --voice."
            ) from error
    found = found or References(tts_dir, trained_with, voice)
    _refuse_other_speech(found, missing)
    return found, unspoken


def _refuse_other_speech(found: References, spoken: list[str]) -> None:
    """Delete what has just been spoken and is not what the models were trained with, and raise InputError."""
    known = found.trained_with
    sha256 = found.checksums(spoken)
    others = [text for text in spoken if text in known and sha256.get(text) != known[text]]
    if others:
        for text in others:
            found.path(text).unlink(missing_ok=True)
        raise InputError(
            f"{found.folder}: the voice here ({describe_voice(found.voice)}) speaks {name_texts(others)} otherwise than where "
            "the models were trained, so it is another build of it, or another machine; copy the "
            f"{found.folder.name} of the training here"
        )


def speak_references(
    tts_dir: Path,
    texts: list[str],
    options: VoiceOptions,
    jobs: int = 1,
    expected: Identity | None = None,
    unspoken: dict[str, str] | None = None,
) -> int:
    """Make what is missing of the references for `texts`; returns how many were missing.

    Parameters
    ----------
    expected
        The voice that the options must lead to.
    unspoken
        Where given, takes the texts that a sound voice can't speak, with the reason, and nothing is raised for them;
        all is spoken by this process then.

    Raises
    ------
    InputError
        Where `tts_dir` holds another voice's references, or the voice says nothing for a text.
    """
    voice = make_voice(options)
    if expected is not None and not same_voice(voice.identity, expected):
        raise InputError(
            f"the voice '{options.voice}' ({describe_voice(voice.identity)}) is not {describe_voice(expected)}"
        )
    with sole_writer(tts_dir):
        return _speak_missing(tts_dir, texts, voice, options, 1 if unspoken is not None else jobs, unspoken)


def _speak_missing(
    tts_dir: Path, texts: list[str], voice: Voice, options: VoiceOptions, jobs: int, unspoken: dict[str, str] | None
) -> int:
    _claim_folder(tts_dir, voice.identity)
    _delete_leftovers(tts_dir)
    paths = {text: reference_path(tts_dir, voice.identity, text) for text in texts}
    missing = {text: path for text, path in paths.items() if not path.is_file()}
    here = possible_processes(jobs) < 2 or len(missing) < 2
    made = _make_here(voice, missing, unspoken) if here else _make_in_processes(options, missing, jobs)
    with closing(made):  # on an error nothing more is spoken
        for _ in tqdm(made, "speaking", len(missing), unit=" texts", disable=None if missing else True):
            pass
    _write_paths(tts_dir, voice.identity, texts)
    return len(missing)


def _make_here(
    voice: Voice, paths: dict[str, Path], unspoken: dict[str, str] | None = None
) -> Generator[None, None, None]:
    for text, path in paths.items():
        try:
            waveform = _speak(voice, text)
        except Exception as error:  # over an odd text a voice's library can fail in almost any way
            if unspoken is None:
                raise
            if not unspoken:
                _speak(voice, PROBE)  # an error here is the voice's, not the text's
            reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            unspoken[text] = f"the expected text {text[:100]!r} can't be spoken ({reason[:300]})"
        else:
            write_wav(path, waveform)
        yield


def _make_in_processes(options: VoiceOptions, paths: dict[str, Path], jobs: int) -> Generator[None, None, None]:
    """Each process builds its own voice: the synthesisers are not thread-safe, nor safe to fork. It writes its files itself:
    an executor may wait forever for a process that was killed while it handed over a long waveform."""
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(min(jobs, len(paths)), context, _start_worker, (options,)) as pool:
            yield from pool.map(_make_in_worker, paths.keys(), paths.values())
    except BrokenProcessPool as error:
        raise InputError(
            f"a process that speaks has died, perhaps for want of memory; run again with fewer --jobs than {jobs}: it goes on "
            "with what is missing"
        ) from error


def _speak(voice: Voice, text: str) -> Waveform:
    if len(text) > LONGEST_SPOKEN_TEXT:
        raise InputError(
            f"an expected text has {len(text)} characters, and {LONGEST_SPOKEN_TEXT} are the most: {text[:50]!r}…; take it out"
        )
    waveform = voice.speak(text)
    try:
        check_samples(waveform)
    except InputError as error:
        raise InputError(
            f"of what the voice says for the expected text {text!r}, {error}; or choose another --voice"
        ) from error
    if is_silent(waveform):
        raise InputError(
            f"the voice says nothing for the expected text {text!r}; take it out, or choose another --voice"
        )
    return waveform


_worker_voice: Voice  # of a worker process


def _start_worker(options: VoiceOptions) -> None:
    global _worker_voice
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C it is the main process that ends the work
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker_voice = make_voice(options)


def _end_with_parent() -> None:
    """A worker doesn't notice that the main process was killed, and would wait for texts forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _make_in_worker(text: str, path: Path) -> None:
    write_wav(path, _speak(_worker_voice, text))


def _delete_leftovers(tts_dir: Path) -> None:
    """What a killed run was about to write; writing a file takes far less than a minute."""
    for temporary in tts_dir.glob(".*.tmp"):
        with suppress(FileNotFoundError):
            if time.time() - temporary.lstat().st_mtime > LEFTOVER_SECONDS and not temporary.is_dir():
                temporary.unlink()


def _claim_folder(tts_dir: Path, identity: Identity) -> None:
    """Write down who speaks, or make sure that it is who spoke before."""
    if (tts_dir / VOICE_FILE).is_file():
        before = read_identity(tts_dir)
        if not same_voice(before, identity):
            raise InputError(
                f"{tts_dir}: holds references by another voice ({describe_voice(before)}) than the one asked for "
                f"({describe_voice(identity)}); give another --tts_dir, or delete the folder"
            )
        return
    with replace_when_done(tts_dir / VOICE_FILE) as temporary:
        temporary.write_text(json.dumps(identity, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _write_paths(tts_dir: Path, identity: Identity, texts: list[str]) -> None:
    """`data_paths.csv`: what was listed before and is still there, and the texts of this run."""
    known = dict.fromkeys([*listed_texts(tts_dir), *texts])
    rows = [(path.name, text) for text in known if (path := reference_path(tts_dir, identity, text)).is_file()]
    with (
        replace_when_done(tts_dir / PATHS_FILE) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(("path", "text"))
        writer.writerows(rows)
