"""References: one file for each distinct text, made once, whole or not at all, in one process or several.

Run: .venv/bin/python -m pytest tests/speech/test_references.py
"""

import errno
import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from fakes import ROOT, TEXTS, listed_references, times_of_references

from models.errors import InputError
from models.speech import speaking
from models.speech.audio import Waveform
from models.speech.options import VoiceOptions
from models.speech.references import References, read_identity, reference_path
from models.speech.speaking import speak_references

ODD_TEXTS = (
    'she said "cat", twice',
    "one\ntwo",
    "one\r\ntwo",
    "naïve Straße 日本 🙂",
    "null",
    "12",
    " cat ",
    "cat",
    "it's, well; fine",
)


class FakeVoice:
    """Noise that depends on the text; notes what it spoke; raises `error` for the text `fails_at`."""

    def __init__(self, name: str = "fake", source: str = "here") -> None:
        self.identity: dict[str, Any] = {"engine": name, "speed": 1.0, "source": source}
        self.spoken: list[str] = []
        self.fails_at: str | None = None
        self.error: BaseException = RuntimeError("the voice broke")
        self.answers: dict[str, Waveform] = {}

    def speak(self, text: str) -> Waveform:
        if text == self.fails_at:
            raise self.error
        self.spoken.append(text)
        rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little"))
        return self.answers.get(text, 0.1 * rng.standard_normal(800).astype(np.float32))


@pytest.fixture
def voice(monkeypatch: pytest.MonkeyPatch) -> FakeVoice:
    """What `make_voice` builds in this test."""
    fake = FakeVoice()
    monkeypatch.setattr(speaking, "make_voice", lambda options: fake)
    return fake


@pytest.fixture
def tts_dir(tmp_path: Path) -> Path:
    return tmp_path / "tts_data"


def speak(tts_dir: Path, *texts: str, jobs: int = 1) -> int:
    return speak_references(tts_dir, list(texts), VoiceOptions(), jobs)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def waves(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(folder).items() if name.endswith(".wav")}


# What is made


def test_one_file_for_each_distinct_text(tts_dir: Path, voice: FakeVoice) -> None:
    assert speak(tts_dir, "cat", "old", "cat", "eat", "old") == 3
    assert voice.spoken == ["cat", "old", "eat"]
    paths = {reference_path(tts_dir, voice.identity, text).name for text in voice.spoken}
    assert len(paths) == 3
    assert set(contents(tts_dir)) == {*paths, "data_paths.csv", "voice.json"}
    assert read_identity(tts_dir) == voice.identity


def test_only_what_is_missing_is_made(tts_dir: Path, voice: FakeVoice) -> None:
    speak(tts_dir, "cat", "old", "eat")
    reference_path(tts_dir, voice.identity, "old").unlink()
    before = times_of_references(tts_dir)
    voice.spoken.clear()
    assert speak(tts_dir, "eat", "old", "fox", "cat") == 2
    assert voice.spoken == ["old", "fox"]
    assert {name: time for name, time in times_of_references(tts_dir).items() if name in before} == before
    assert len(times_of_references(tts_dir)) == 4
    assert speak(tts_dir, "eat", "old", "fox", "cat") == 0


def test_the_list_is_the_union_of_all_runs(tts_dir: Path, voice: FakeVoice) -> None:
    speak(tts_dir, "cat", "old")
    speak(tts_dir, "old", "fox")
    assert list(listed_references(tts_dir)) == ["cat", "old", "fox"]
    for text, path in listed_references(tts_dir).items():
        assert tts_dir / path == reference_path(tts_dir, voice.identity, text)
        assert (tts_dir / path).is_file()


def test_the_list_does_not_name_a_file_that_was_deleted(tts_dir: Path, voice: FakeVoice) -> None:
    speak(tts_dir, "cat", "old")
    reference_path(tts_dir, voice.identity, "cat").unlink()
    speak(tts_dir, "old")
    assert list(listed_references(tts_dir)) == ["old"]


def test_odd_texts_survive(tts_dir: Path, voice: FakeVoice) -> None:
    speak(tts_dir, *ODD_TEXTS)
    speak(tts_dir, "fox")
    assert set(listed_references(tts_dir)) == {*ODD_TEXTS, "fox"}
    assert len(waves(tts_dir)) == len(ODD_TEXTS) + 1
    loaded = References(tts_dir).load(ODD_TEXTS)
    for text in ODD_TEXTS:
        np.testing.assert_allclose(loaded[text], np.clip(voice.speak(text), -1, 1), atol=1e-4)


def test_the_list_is_rebuilt_if_another_program_has_spoilt_it(tts_dir: Path, voice: FakeVoice) -> None:
    speak(tts_dir, "naïve", "cat")
    (tts_dir / "data_paths.csv").write_text("path,text\nx.wav,naïve\ny.wav,cat\n", encoding="latin-1")
    assert speak(tts_dir, "naïve", "fox") == 1
    assert set(listed_references(tts_dir)) == {"naïve", "cat", "fox"}
    (tts_dir / "data_paths.csv").write_text("")
    assert speak(tts_dir, "cat", "naïve") == 0
    assert set(listed_references(tts_dir)) == {"naïve", "cat"}


def test_paths_depend_on_voice_and_text_alone() -> None:
    identity = {"engine": "fake", "speed": 1.0, "source": "here"}
    path = reference_path(Path("a"), identity, "cat")
    assert path == reference_path(Path("a"), {"speed": 1.0, "source": "there", "engine": "fake"}, "cat")
    assert path.name == reference_path(Path("b"), identity, "cat").name
    assert path != reference_path(Path("a"), identity, "cap")
    assert path != reference_path(Path("a"), {**identity, "speed": 0.9}, "cat")


# Runs that end early


@pytest.mark.parametrize("error", [RuntimeError("the voice broke"), InputError("no such phone"), KeyboardInterrupt()])
def test_a_run_that_was_cut_off_goes_on(tts_dir: Path, voice: FakeVoice, error: BaseException) -> None:
    texts = ["cat", "old", "eat", "fox", "lap"]
    voice.fails_at, voice.error = "eat", error
    with pytest.raises(type(error)):
        speak(tts_dir, *texts)
    assert References(tts_dir).missing(texts) == ["eat", "fox", "lap"]
    assert set(contents(tts_dir)) == {"voice.json", *waves(tts_dir)}  # no temporary files
    before = times_of_references(tts_dir)
    voice.fails_at = None
    voice.spoken.clear()
    assert speak(tts_dir, *texts) == 3
    assert voice.spoken == ["eat", "fox", "lap"]
    assert before.items() <= times_of_references(tts_dir).items()
    assert list(listed_references(tts_dir)) == texts


def test_a_file_is_written_whole_or_not_at_all(
    tts_dir: Path, voice: FakeVoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole = Path.write_bytes

    def write_half(path: Path, content: bytes) -> None:
        write_whole(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_half)
        with pytest.raises(OSError, match="no space"):
            speak(tts_dir, "cat")
    assert set(contents(tts_dir)) == {"voice.json"}
    assert speak(tts_dir, "cat") == 1


def test_leftovers_of_a_killed_run_are_deleted(tts_dir: Path, voice: FakeVoice) -> None:
    speak(tts_dir, "cat")
    old, new = tts_dir / ".old.wav.1.tmp", tts_dir / ".new.wav.2.tmp"
    for file in (old, new):
        file.write_bytes(b"RIFF")
    os.utime(old, (0, 0))
    speak(tts_dir, "cat")
    assert not old.exists()
    assert new.exists()  # another run may be writing it


@pytest.fixture
def run_script(tmp_path: Path) -> Iterator[Callable[[Path, list[str], int], subprocess.Popen]]:
    """Speak in a process of its own, which the test may kill."""
    script = tmp_path / "speak.py"
    script.write_text(
        "import json, sys\nfrom pathlib import Path\n"
        "from models.speech.speaking import speak_references\nfrom models.speech.options import VoiceOptions\n"
        "if __name__ == '__main__':\n"
        "    speak_references(Path(sys.argv[1]), json.loads(sys.argv[2]), VoiceOptions(), int(sys.argv[3]))\n"
    )
    processes = []

    def start(tts_dir: Path, texts: list[str], jobs: int) -> subprocess.Popen:
        command = [sys.executable, str(script), str(tts_dir), json.dumps(texts), str(jobs)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool], seconds: float = 180.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_process_loses_nothing(tmp_path: Path, run_script: Callable[..., subprocess.Popen], jobs: int) -> None:
    texts = [
        f"the number {index} of very many" for index in range(150)
    ]  # more than are spoken while this process sleeps
    folder, whole = tmp_path / "killed", tmp_path / "whole"
    process = run_script(folder, texts, jobs)
    wait_until(lambda: len(list(folder.glob("*.wav"))) >= 5)
    process.kill()
    process.wait()
    before, already = times_of_references(folder), waves(folder)
    assert 5 <= len(before) < len(texts)
    assert speak(folder, *texts) == len(texts) - len(before)
    assert before.items() <= times_of_references(folder).items()
    speak(whole, *texts)
    assert waves(folder) == waves(whole)
    assert already.items() <= waves(whole).items()
    assert listed_references(folder) == listed_references(whole)


def is_alive(process_id: str) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # ended, though nobody has asked for its exit code yet


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads the list of processes from /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_process_goes_on_speaking_after_the_main_one(
    tts_dir: Path, run_script: Callable[..., subprocess.Popen], how: signal.Signals
) -> None:
    process = run_script(tts_dir, [f"number {index}" for index in range(6000)], 2)
    wait_until(lambda: len(list(tts_dir.glob("*.wav"))) >= 5)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(workers) >= 2
    process.send_signal(how)
    try:
        assert process.wait(180) != 0
        wait_until(lambda: not any(map(is_alive, workers)))
    finally:
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(int(worker), signal.SIGKILL)
    assert len(list(tts_dir.glob("*.wav"))) < 6000


# Several processes


@pytest.mark.slow
def test_two_processes_give_the_same_bytes_as_one(tmp_path: Path) -> None:
    texts = [*ODD_TEXTS, *(text for group in TEXTS.values() for text in group if text != "cat")]
    assert speak(tmp_path / "one", *texts, jobs=1) == len(texts)
    assert speak(tmp_path / "two", *texts, jobs=2) == len(texts)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(waves(tmp_path / "one")) == len(texts)


@pytest.mark.slow
def test_a_text_that_is_not_spoken_is_named_from_another_process(tts_dir: Path) -> None:
    with pytest.raises(InputError, match=r"'\?\?'"):
        speak(tts_dir, "cat", "??", "old", "fox", jobs=2)
    speak(tts_dir, "cat", jobs=2)
    assert list(listed_references(tts_dir)) == ["cat"]


@pytest.mark.slow
@pytest.mark.parametrize("error", [InputError, KeyboardInterrupt])
def test_nothing_more_is_spoken_after_an_error(
    tts_dir: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def interrupt(items: Iterator[None], *_: Any, **__: Any) -> Iterator[None]:
        yield next(items)
        raise KeyboardInterrupt

    texts = [f"number {index}" for index in range(300)]
    if error is KeyboardInterrupt:
        monkeypatch.setattr(speaking, "tqdm", interrupt)
    else:
        texts[0] = "??"
    with pytest.raises(error) as held:  # a script that ends with the error holds on to it too
        speak(tts_dir, *texts, jobs=2)
    made = len(waves(tts_dir))
    time.sleep(0.5)
    assert len(waves(tts_dir)) == made < 150, held


@contextmanager
def give_up_after(seconds: int) -> Iterator[None]:
    """So that a run which waits forever fails its test."""

    def give_up(*_: Any) -> None:
        raise TimeoutError("the run waits for workers that are dead")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_run_with_an_error(tts_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"number {index}" for index in range(60)]

    def kill_workers_after_the_first(items: Iterator[None], *_: Any, **__: Any) -> Iterator[None]:
        for item in items:
            for child in multiprocessing.active_children():
                child.kill()
            yield item

    monkeypatch.setattr(speaking, "tqdm", kill_workers_after_the_first)
    with pytest.raises(InputError, match="--jobs"), give_up_after(180):
        speak(tts_dir, *texts, jobs=2)
    made = len(waves(tts_dir))
    assert made >= 1
    assert speak(tts_dir, *texts) == len(texts) - made


# Voices that must not be


def test_another_voice_is_refused_and_nothing_changes(
    tts_dir: Path, voice: FakeVoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    speak(tts_dir, "cat")
    before = contents(tts_dir)
    other = FakeVoice("another")
    monkeypatch.setattr(speaking, "make_voice", lambda options: other)
    with pytest.raises(InputError, match=r"fake.*another"):
        speak(tts_dir, "cat", "old")
    assert contents(tts_dir) == before
    assert not other.spoken


def test_the_same_voice_from_another_place_goes_on(
    tts_dir: Path, voice: FakeVoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    speak(tts_dir, "cat")
    moved = FakeVoice(source="there")
    monkeypatch.setattr(speaking, "make_voice", lambda options: moved)
    assert speak(tts_dir, "cat", "old") == 1
    assert moved.spoken == ["old"]


def test_a_voice_other_than_expected_is_refused(tts_dir: Path, voice: FakeVoice) -> None:
    with pytest.raises(InputError, match="speed"):
        speak_references(tts_dir, ["cat"], VoiceOptions(), expected={**voice.identity, "speed": 2.0})
    assert not tts_dir.exists()
    elsewhere = {**voice.identity, "source": "there"}
    assert speak_references(tts_dir, ["cat"], VoiceOptions(), expected=elsewhere) == 1


@pytest.mark.parametrize(
    "answer",
    [np.zeros(0), np.zeros(1), np.zeros(16000), np.full(16000, 1e-6), np.array([0.1, np.nan]), np.array([0.1, np.inf])],
    ids=["empty", "one zero", "silence", "inaudible", "NaN", "infinite"],
)
def test_a_text_that_is_not_spoken_is_named(tts_dir: Path, voice: FakeVoice, answer: np.ndarray) -> None:
    voice.answers["…?"] = answer.astype(np.float32)
    with pytest.raises(InputError, match="'…\\?'"):
        speak(tts_dir, "cat", "…?", "old")
    assert References(tts_dir).missing(["cat", "…?", "old", "…?"]) == ["…?", "old"]


def test_a_text_that_is_no_answer_is_not_spoken(tts_dir: Path, voice: FakeVoice) -> None:
    """It would fill the disk with hours of speech."""
    with pytest.raises(InputError, match="100000 characters"):
        speak(tts_dir, "a" * 100_000)
    assert not voice.spoken


def test_espeak_says_nothing_for_punctuation(tts_dir: Path) -> None:
    with pytest.raises(InputError, match=r"'\.\.\.'"):
        speak(tts_dir, "cat", "...")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'"espeak"', b"null", b'{"engine": "espeak-ng"}', b"\xff\xfe\x00"],
)
def test_a_corrupted_voice_file_is_refused(tts_dir: Path, voice: FakeVoice, content: bytes) -> None:
    speak(tts_dir, "cat")
    (tts_dir / "voice.json").write_bytes(content)
    before = contents(tts_dir)
    for call in (
        lambda: speak(tts_dir, "old"),
        lambda: References(tts_dir).load(["cat"]),
        lambda: read_identity(tts_dir),
    ):
        with pytest.raises(InputError, match=r"voice\.json"):
            call()
    assert contents(tts_dir) == before


# Loading


def test_loaded_references_are_what_was_spoken(tts_dir: Path, voice: FakeVoice) -> None:
    voice.answers["cat"] = np.array([0.5, -0.5, 0.25, 1.5, -1.5], np.float32)
    speak(tts_dir, "cat", "old")
    loaded = References(tts_dir).load(iter(["old", "cat", "old"]))
    assert list(loaded) == ["old", "cat"]
    assert loaded["cat"].dtype == np.float32
    np.testing.assert_allclose(loaded["cat"], [0.5, -0.5, 0.25, 1.0, -1.0], atol=1e-4)
    info = soundfile.info(reference_path(tts_dir, voice.identity, "cat"))
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")


def test_loading_names_what_is_missing(tts_dir: Path, voice: FakeVoice) -> None:
    with pytest.raises(InputError, match=r"preprocess\.py"):
        References(tts_dir).load(["cat"])
    speak(tts_dir, "cat")
    with pytest.raises(InputError, match=r"2 of 3 .*'old'.*preprocess\.py"):
        References(tts_dir).load(["cat", "old", "fox", "old"])


@pytest.mark.parametrize("content", [b"", b"RIFF....WAVE", b"not a sound"])
def test_a_broken_reference_is_named_with_the_way_out(tts_dir: Path, voice: FakeVoice, content: bytes) -> None:
    speak(tts_dir, "cat", "old")
    path = reference_path(tts_dir, voice.identity, "old")
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{path.name}.*[Dd]elete it and run preprocess\.py"):
        References(tts_dir).load(["cat", "old"])
    path.unlink()
    speak(tts_dir, "cat", "old")
    References(tts_dir).load(["cat", "old"])
