"""Which clips localisation is asked about. Run: python -m pytest tests/localize/test_asked.py"""

from argparse import Namespace
from pathlib import Path

from fakes import write_rows

from localize import read_clips
from models.ensemble.source import EnsembleSource
from models.localize.asked import AskedClip, one_clip, read_table
from models.speech.arpabet import parse_phones
from models.speech.pronunciation_table import Given, leave_beside

HEADER = ["filename", "task", "expected_text", "grade"]


GIVEN: Given = {("deletion", "read"): (parse_phones("R IY T"),)}


def test_a_clip_is_asked_about_as_its_text_was_given(tmp_path: Path) -> None:
    audio = tmp_path / "a.wav"
    audio.touch()
    assert one_clip(audio, "read", "deletion", "1", GIVEN) == AskedClip(
        "a.wav", audio, "read", "deletion", "1", "R IY T"
    )
    assert one_clip(audio, "read", "blending", "1", GIVEN).pronunciation == ""


def test_what_came_with_a_published_folder_is_given(tmp_path: Path) -> None:
    (tmp_path / "published" / "references").mkdir(parents=True)
    leave_beside(tmp_path / "published" / "references", GIVEN)
    asked = {"csv": None, "audio": tmp_path / "a.wav", "text": "read", "task": "deletion", "grade": "1"}
    asked["audio"].touch()
    source = EnsembleSource(Path(), (), tmp_path / "published")
    (clip,) = read_clips(Namespace(**asked, tts_dir=tmp_path / "tts_data"), source)
    assert clip.pronunciation == "R IY T"


def test_a_table_s_own_pronunciation_comes_before_what_is_given(tmp_path: Path) -> None:
    rows = [["a.wav", "deletion", "read", "1"], ["b.wav", "deletion", "read", "KG"], ["c.wav", "blending", "cat", "2"]]
    file = tmp_path / "clips.csv"
    write_rows(file, [[*HEADER, "pronunciation"], [*rows[0], "R EH D"], [*rows[1], ""], [*rows[2], ""]])
    asked = read_table(file, None, GIVEN)
    assert [clip.pronunciation for clip in asked] == ["R EH D", "R IY T", ""]
    assert [(clip.name, clip.task, clip.text, clip.grade) for clip in asked] == [tuple(row) for row in rows]
    assert [clip.path for clip in asked] == [tmp_path / row[0] for row in rows]
    write_rows(file, [HEADER, *rows])
    assert [clip.pronunciation for clip in read_table(file, None, GIVEN)] == ["R IY T", "R IY T", ""]
    elsewhere = read_table(file, tmp_path / "data", GIVEN)
    assert [clip.path for clip in elsewhere] == [tmp_path / "data" / row[0] for row in rows]
