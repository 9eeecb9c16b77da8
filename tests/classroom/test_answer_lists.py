"""Lists of answers and what people say of them: saved as they say it, whatever happens then.

Run: .venv/bin/python -m pytest tests/classroom/test_answer_lists.py
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes import ROOT, read_rows, snapshot, tone

from models.classroom import answer_lists
from models.classroom.answer_lists import AnswerList, AnswerLists
from models.classroom.answers import HeardAnswer
from models.classroom.judgements import Judgements, told_in_words
from models.clips.corrections import read_corrections
from models.errors import InputError
from models.service.answer_tables import MOST_CLIPS
from models.service.service import AnswerTable

NAMES = ("a.wav", "b.wav", "c.wav")


def answers(text: str = "cat") -> list[HeardAnswer]:
    return [HeardAnswer(name, "blending", text, "KG", "7", 0.5, "review", seconds=1.0) for name in NAMES]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "corrections" / "one.csv"


def judgements(file: Path) -> Judgements:
    return Judgements(file, answers(), ["", "", ""])


# Judgements


def test_what_is_said_is_in_the_file_at_once(file: Path) -> None:
    first = judgements(file)
    assert first.read() == {}
    assert not file.parent.exists()
    assert first.save(1, "right") == {1: "right"}
    assert judgements(file).read() == {1: "right"}
    first.save(0, "skipped")
    first.save(1, "wrong")
    rows = read_rows(file)
    assert [row[:2] for row in rows] == [["\ufefffilename", "score"], ["a.wav", ""], ["b.wav", "0"]]
    assert rows[1][2:] == ["blending", "cat", "KG", "7", "0.5000", ""]
    assert read_corrections(file)["score"].tolist() == ["", "0"]
    assert first.save(1, None) == {0: "skipped"}
    assert first.save(0, None) == {}
    assert judgements(file).read() == {}
    assert judgements(file).save(2, "right") == {2: "right"}


def test_two_tabs_and_two_programs_keep_what_the_other_said(file: Path) -> None:
    """Each save adds to what is in the file, not to what this one knew."""
    one, other = judgements(file), judgements(file)
    one.save(0, "right")
    other.save(1, "wrong")
    assert one.save(2, "skipped") == {0: "right", 1: "wrong", 2: "skipped"}


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    many = [HeardAnswer(f"{row}.wav", "blending", "cat", "KG", "") for row in range(24)]
    file = tmp_path / "many.csv"
    both = [Judgements(file, many, [""] * len(many)) for _ in range(2)]
    threads = [threading.Thread(target=both[row % 2].save, args=(row, "right")) for row in range(len(many))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert both[0].read() == dict.fromkeys(range(len(many)), "right")


@pytest.mark.slow
def test_a_killed_program_leaves_a_whole_file(tmp_path: Path) -> None:
    """And everything that it said it had saved."""
    code = (
        "import sys; from pathlib import Path; from models.classroom.judgements import Judgements\n"
        "from models.classroom.answers import HeardAnswer\n"
        "many = [HeardAnswer(f'{row}.wav', 'blending', 'cat', 'KG', '') for row in range(2000)]\n"
        "said = Judgements(Path(sys.argv[1]), many, [''] * 2000)\n"
        "for row in range(2000):\n    said.save(row, 'wrong')\n    print(row, flush=True)\n"
    )
    file = tmp_path / "killed.csv"
    with subprocess.Popen([sys.executable, "-c", code, file], cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        told = [int(running.stdout.readline()) for _ in range(30)]
        running.send_signal(signal.SIGKILL)
        told += [int(line) for line in running.stdout.read().split()]
    assert len(read_corrections(file)) >= len(told) >= 30


DAMAGE: dict[str, tuple[Callable[[str], str], str]] = {
    "cut off": (lambda text: text + 'c.wav,"1', "row 4"),
    "another score": (lambda text: text.replace("b.wav,1", "b.wav,maybe"), "row 3: score 'maybe'"),
    "twice": (lambda text: text + text.splitlines()[1] + "\n", "is there twice"),
    "another table": (lambda text: text.replace("a.wav", "z.wav"), "'z.wav' is not this table's"),
    "another task": (lambda text: text.replace(",cat,", ",dog,"), "'dog' is not this table's"),
    "NUL": (lambda text: text + "\0", "NUL"),
    "empty": (lambda text: "", "is missing"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_told_and_left_alone(file: Path, damage: str) -> None:
    said = judgements(file)
    said.save(0, "wrong")
    said.save(1, "right")
    spoil, mentions = DAMAGE[damage]
    file.write_text(spoil(file.read_text(encoding="utf-8")), encoding="utf-8")
    before = file.read_bytes()
    for act in (said.read, said.check, lambda: said.save(2, "right")):
        with pytest.raises(InputError, match=mentions):
            act()
    assert file.read_bytes() == before


def test_a_folder_that_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    said = judgements(tmp_path / "taken" / "one.csv")
    for act in (said.check, lambda: said.save(0, "right")):
        with (
            pytest.raises(InputError, match=r"can't be written \(.*\); tell who runs") as told,
            told_in_words("can't be written"),
        ):
            act()
        assert str(tmp_path) not in str(told.value)
    assert (tmp_path / "taken").read_text() == "a file"


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match="can't be written"), told_in_words("can't be written"):
        judgements(tmp_path / "locked" / "one.csv").check()


# Lists


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    for place, name in enumerate(NAMES):
        soundfile.write(tmp_path / name, tone(0.3, 300 + place, np.random.default_rng(0)), 16_000)
    return [tmp_path / name for name in NAMES]


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[AnswerLists]:
    return AnswerLists(tmp_path / "corrections")


def opened(
    lists: AnswerLists, sources: list[Path | InputError], text: str = "cat", closed: list[str] | None = None
) -> str:
    with ExitStack() as stack:
        stack.callback(lambda: None if closed is None else closed.append("closed"))
        return lists.open(answers(text), AnswerTable(None, sources), stack)  # type: ignore[arg-type]


def get(lists: AnswerLists, name: str) -> AnswerList:
    found = lists.get(name)
    assert found is not None
    return found


def test_the_same_table_sent_again_finds_what_was_said(lists: AnswerLists, recordings: list[Path]) -> None:
    first = opened(lists, [*recordings])
    get(lists, first).judge(1, "wrong")
    again = opened(AnswerLists(lists.folder), [*recordings])  # by another page
    assert again != first
    assert get(lists, opened(lists, [*recordings])).judgements.read() == {1: "wrong"}


@pytest.mark.parametrize("other", ["text", "recording"])
def test_another_class_with_the_same_file_names_does_not(
    lists: AnswerLists, recordings: list[Path], other: str
) -> None:
    get(lists, opened(lists, [*recordings])).judge(1, "wrong")
    if other == "recording":
        soundfile.write(recordings[1], tone(0.3, 500, np.random.default_rng(0)), 16_000)
    assert get(lists, opened(lists, [*recordings], "dog" if other == "text" else "cat")).judgements.read() == {}
    assert len(list(lists.folder.glob("*.csv"))) == 1


def test_what_cannot_be_heard_cannot_be_judged(lists: AnswerLists, recordings: list[Path]) -> None:
    found = get(lists, opened(lists, [recordings[0], InputError("no such recording was sent"), recordings[2]]))
    with pytest.raises(InputError, match="can't be judged: no such recording"):
        found.judge(1, "right")
    assert found.judge(1, "skipped") == {1: "skipped"}


def test_recordings_stay_until_a_list_is_closed(lists: AnswerLists, recordings: list[Path]) -> None:
    closed: list[str] = []
    name = opened(lists, [*recordings], closed=closed)
    get(lists, name).judge(0, "right")
    before = snapshot(lists.folder)
    lists.sweep()
    assert closed == []
    lists.close(name)
    lists.close(name)
    assert closed == ["closed"]
    assert lists.get(name) is None
    assert snapshot(lists.folder) == before  # what was said stays


def test_too_many_and_forgotten_lists_are_closed(
    lists: AnswerLists, recordings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer_lists, "MOST_LISTS", 2)
    names = [opened(lists, [*recordings]) for _ in range(2)]
    get(lists, names[0])  # which is in use
    names.append(opened(lists, [*recordings]))
    assert [lists.get(name) is not None for name in names] == [True, False, True]
    monkeypatch.setattr(answer_lists, "KEEP_SECONDS", -1.0)
    lists.sweep()
    assert [lists.get(name) for name in names] == [None] * 3


def test_more_than_a_person_can_work_through_is_refused_and_its_files_go(lists: AnswerLists) -> None:
    closed: list[str] = []
    with ExitStack() as stack:
        stack.callback(closed.append, "closed")
        with pytest.raises(InputError, match="5000 can be worked through"):
            lists.open(answers() * MOST_CLIPS, AnswerTable(None, []), stack)  # type: ignore[arg-type]
    assert closed == ["closed"]
