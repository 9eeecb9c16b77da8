"""What memory of training is measured on. Run: python -m pytest tests/tools/test_training_memory.py"""

import sys
from pathlib import Path

import psutil

from benchmarks.training_memory import looks, make_corpus
from models.clips.tables import clip_paths, read_training_table, utterances
from models.speech.audio import check_audio_files
from models.speech.references import References

HOLDS = "import subprocess, sys, time; held = b'1' * 90_000_000; {}; time.sleep(4)"


def test_a_corpus_that_can_be_trained_on(tmp_path: Path) -> None:
    make_corpus(tmp_path, 12, 1.0)
    table = read_training_table(tmp_path / "data")
    assert len(table) == 12
    assert min(check_audio_files(clip_paths(tmp_path / "data", table["filename"]))) > 0
    assert len(References(tmp_path / "tts_data").load(utterances(table))) == 12


def test_memory_of_a_process_and_of_what_it_starts() -> None:
    child = HOLDS.format("None")
    process = psutil.Popen([sys.executable, "-c", HOLDS.format(f"subprocess.Popen([sys.executable, '-c', {child!r}])")])
    found = list(looks(process))
    process.wait()
    everything, own, loading = (max(column) for column in zip(*found, strict=True))
    assert 0.08 < own < 0.15
    assert 0.08 < loading < 0.15
    assert 0.16 < everything < 0.3
