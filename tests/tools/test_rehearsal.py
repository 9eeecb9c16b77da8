"""The corpus of true size and the rehearsal on it, small.

Run: .venv/bin/python -m pytest tests/tools/test_rehearsal.py
"""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from fakes import ROOT

from benchmarks import rehearsal
from benchmarks.rehearsal import Use, markdown, proportional_gb, read_measured, take_part, written_gb
from models.base.cli import run
from models.clips.tables import read_test_table, read_training_table
from models.pretrain.synthesis import UNSTEADY_VARIANTS, VARIANTS
from models.speech.audio import read_audio
from tools import make_spoken_corpus

ROWS = [
    ("a.wav", "deletion", "old", "KG", 1.0), ("b.wav", "deletion", "old", "1", 0.0), ("c.wav", "deletion", "eat", "2", 0.0),
    ("d.wav", "blending", "cat", "3", 0.0), ("e.wav", "blending", "cat", "KG", 1.0),
    ("f.wav", "nonword_repetition", "teevog", "1", 0.0),
    ("g.wav", "sentence_repetition", "the small dog ran home", "2", 0.0),
    ("h.wav", "sentence_repetition", "we like to play", "3", 1.0),
]  # fmt: skip


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Path, Path]:
    table = pd.DataFrame(ROWS, columns=["filename", "task", "expected_text", "grade", "score"])
    table.drop(columns="score").to_csv(tmp_path / "metadata.csv", index=False)
    table[["filename", "score"]].to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path / "metadata.csv", tmp_path / "labels.csv"


def call(main: object, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["script", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        run(main)  # type: ignore[arg-type]
    return 0 if ended.value.code == 0 else 1


@pytest.fixture
def corpus(sources: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(make_spoken_corpus, "CLIPS_AT_ONCE", 3)
    folder = tmp_path / "rehearsal" / "data"
    assert call(make_spoken_corpus.main, monkeypatch, *sources, folder, "--speakers", 4) == 0
    return folder


@pytest.mark.slow
def test_answers_are_what_the_scores_say(corpus: Path) -> None:
    table = read_training_table(corpus).merge(pd.read_csv(corpus / "train_source.csv"), on="filename")
    assert len(table) == len(ROWS)
    assert ((table["spoken_text"] == table["expected_text"]) == (table["score"] == 1.0)).all()
    assert all(len(read_audio(corpus / name)) > 1600 for name in table["filename"])
    assert set(read_test_table(corpus)["filename"]) == set(table["filename"])


@pytest.mark.slow
def test_the_number_of_processes_changes_no_byte(
    corpus: Path, sources: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(make_spoken_corpus.main, monkeypatch, *sources, tmp_path / "again", "--speakers", 4, "--jobs", 1) == 0
    for path in corpus.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


@pytest.mark.slow
def test_the_voices_of_a_corpus_sound_the_same_in_every_process() -> None:
    """Each variant that is drawn, twice: with its state fresh, and in another process."""
    code = """
import zlib
import numpy as np
from models.speech.espeak import Espeak
from models.pretrain.synthesis import VARIANTS
from tools.make_demo_corpus import draw_speakers, record

rng, espeak = np.random.default_rng, Espeak(fresh=False)
for speaker in draw_speakers(500, VARIANTS, rng(0)):
    print(speaker.voice, zlib.crc32(record(espeak, "art teevog", speaker, rng(0)).tobytes()))
"""
    heard = [
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert heard[0] == heard[1]
    assert {variant for variant in VARIANTS if f"+{variant} " not in heard[0]} == UNSTEADY_VARIANTS


def test_a_name_that_leads_elsewhere_is_refused(
    sources: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in sources:
        file.write_text(file.read_text().replace("a.wav", "../a.wav"))
    assert call(make_spoken_corpus.main, monkeypatch, *sources, tmp_path / "new") == 1
    assert not (tmp_path / "a.wav").exists()
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_part_is_a_corpus_of_its_own(corpus: Path, tmp_path: Path) -> None:
    take_part(corpus, 5, tmp_path / "part")
    part, whole = read_training_table(tmp_path / "part"), read_training_table(corpus)
    assert part["filename"].tolist() == whole["filename"].tolist()[:5]
    assert len(read_test_table(tmp_path / "part")) == 5
    for name in part["filename"]:
        assert (tmp_path / "part" / name).samefile(corpus / name)


@pytest.mark.slow
def test_each_size_is_measured_once(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "CHAIN", {"speak": ["preprocess.py"]})
    monkeypatch.setattr(rehearsal, "LOOK_SECONDS", 0.05)
    for sizes in ([4], [4, 8]):
        assert call(rehearsal.main, monkeypatch, corpus.parent, "--sizes", *sizes) == 0
        measured = read_measured(corpus.parent / "measured.csv")
        assert [use.clips for use in measured] == sizes
        assert all(use.seconds > 0.1 and use.core_seconds > 0.1 and use.memory_gb > 0.01 for use in measured)
        assert all(use.disk_gb > 1e-5 for use in measured)
    assert len(list((corpus.parent / "clips_8" / "tts_data").glob("*.wav"))) == 6


@pytest.mark.slow
def test_a_step_that_fails_is_named(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rehearsal, "CHAIN", {"score": ["infer.py"]})
    assert call(rehearsal.main, monkeypatch, corpus.parent, "--sizes", 4) == 1
    assert "model_configs.pkl" in (corpus.parent / "clips_4" / "output.log").read_text()
    assert not read_measured(corpus.parent / "measured.csv")


def test_the_commands_of_a_step_run_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits for what the other writes."""
    monkeypatch.setattr(rehearsal, "ROOT", tmp_path)
    waits = "import sys, time, pathlib; mine, other = sys.argv[1:]; pathlib.Path(mine).touch()\n"
    waits += "for _ in range(1200):\n    if pathlib.Path(other).exists(): sys.exit()\n    time.sleep(0.1)\nsys.exit(1)"
    (tmp_path / "wait.py").write_text(waits)
    use = rehearsal.measure("wait", ["wait.py a b", "wait.py b a"], 4, tmp_path)
    assert use.core_seconds > 0


def test_memory_of_all_processes_counts() -> None:
    """A process that holds 100 MB and starts another that holds 100 MB."""
    hold = "import sys; held = b'x' * 100_000_000; print('ready', flush=True); sys.stdin.read()"
    start = f"import subprocess, sys; held = b'x' * 100_000_000; subprocess.run([sys.executable, '-c', {hold!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 0.186 < proportional_gb() < 0.25
        process.communicate("")


def test_disk_is_what_was_written_beside_the_clips(tmp_path: Path) -> None:
    for name, size in (("data/a.wav", 5000), ("assets/data/b", 2000), ("c", 48)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    assert written_gb(tmp_path) * 2**30 == pytest.approx(2048)


def test_the_table_has_a_row_for_each_step_and_a_column_for_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "CHAIN", {"one": [], "two": []})
    lines = markdown([Use(20, "one", 3, 5, 1, 2), Use(10, "one", 2, 2, 1, 2), Use(10, "two", 7, 6, 1, 2)])
    assert [line.count("|") for line in lines] == [4] * 4
    assert lines[3].endswith("| 7 (6); 1.00; 2.00 |  |")
