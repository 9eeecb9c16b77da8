"""What was measured is kept, shown and compared: ratios, machines, rows that come and go.

Run: .venv/bin/python -m pytest tests/tools/test_benchmark_history.py
"""

import json
import sys
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import history, loading, speed
from benchmarks.comparison import compare, last_of_kind, loads, measured_again, report
from benchmarks.history import BEGIN, END, Entry, entry_from_dict, read_history, record, with_table
from benchmarks.machine import UNKNOWN, Machine, commit, processor_name, this_machine
from benchmarks.material import ROOT, in_turn
from benchmarks.rows import HEAD, Row, timed
from models.errors import InputError

MACHINE = Machine("a processor", 2, True, "")


def row(name: str, ratio: float, part: str = "inference") -> Row:
    return Row(part, name, 10.0, 10.0 * ratio, "ms")


def entry(*rows: Row, date: str = "2026-01-01", commit: str = "abc1234", **changes: object) -> Entry:
    made = Entry(date, commit, MACHINE, "3.11.7", "2.11.0", 0.5, {"clips": 16, "turns": 3}, list(rows))
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Path, Path]:
    """A history that is not there yet, and a README with a place for it."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nbehind\n", encoding="utf-8")
    return tmp_path / "history.json", readme


def test_a_ratio_says_how_many_times_more_the_plain_one_takes() -> None:
    found = timed("samples", "sample", (0.5, 2.0), 100)
    assert (found.ours, found.plain, found.ratio) == (5.0, 20.0, 4.0)
    assert found.text == "| sample | 5.0 ms | 20.0 ms | 4.0 × |"
    assert timed("checks", "script", (0.5, 2.0), unit="s").ours == 0.5


@pytest.mark.parametrize(
    "other",
    [
        Row("training", "share", 0.4, 0.2, "share"),
        Row("training", "memory", 4.0, None, "GB"),
        Row("a", "b", 0.0, 1.0, "ms"),
    ],
)
def test_what_is_no_cost_or_alone_has_no_ratio(other: Row) -> None:
    assert other.ratio is None
    assert other.text.endswith("|  |")


def test_turns_are_taken_by_any_number_of_actions_and_the_first_does_not_count() -> None:
    order: list[int] = []
    seconds = in_turn(*(lambda index=index: order.append(index) for index in range(3)), turns=2)
    assert order == [0, 1, 2] * 3
    assert len(seconds) == 3


def test_rows_that_are_more_than_15_percent_slower_or_faster_are_named() -> None:
    before = [row("slower", 4.0), row("hardly slower", 4.0), row("same", 4.0), row("faster", 4.0)]
    now = [row("slower", 3.4), row("hardly slower", 3.5), row("same", 4.0), row("faster", 5.0)]
    found = compare(before, now)
    assert (found.slower, found.faster, found.new, found.missing) == (["slower"], ["faster"], [], [])
    lines = report(before, now)
    assert [line.split(":")[0] for line in lines] == ["18% slower", "25% faster"]
    assert "3.40 ×, was 4.00 ×" in lines[0]


def test_a_slower_machine_is_no_slower_row() -> None:
    assert compare([Row("a", "b", 10, 40, "ms")], [Row("a", "b", 100, 400, "ms")]).slower == []


def test_rows_that_come_and_go_are_named() -> None:
    found = compare([row("old", 2.0), row("both", 2.0)], [row("both", 2.0), row("novel", 3.0)])
    assert (found.slower, found.new, found.missing) == ([], ["novel"], ["old"])
    assert [line.split(":")[0] for line in report([row("old", 2.0)], [row("novel", 3.0)])] == ["new", "missing"]


def test_parts_that_were_not_measured_are_not_missing() -> None:
    before = [row("one", 2.0, "inference"), row("other", 2.0, "training")]
    assert compare(before, [row("one", 2.0, "inference")]).missing == []


def test_what_has_no_ratio_is_not_compared() -> None:
    shares = [Row("training", "share", value, value, "share") for value in (0.9, 0.1)]
    found = compare(shares[:1], shares[1:])
    assert found == compare([], [])


def again(*rows: Row) -> tuple[list[set[str]], Callable[[Collection[str]], list[Row]]]:
    """What measures, and what it was asked for."""
    asked: list[set[str]] = []

    def measure(parts: Collection[str]) -> list[Row]:
        asked.append(set(parts))
        return [row for row in rows if row.part in parts]

    return asked, measure


def test_a_row_that_was_disturbed_is_measured_again_before_it_is_called_slower() -> None:
    before = [row("disturbed", 4.0, "loader"), row("slower", 4.0, "training"), row("same", 4.0, "weights")]
    now = [row("disturbed", 2.0, "loader"), row("slower", 2.0, "training"), row("same", 3.9, "weights")]
    asked, measure = again(row("disturbed", 4.1, "loader"), row("slower", 1.9, "training"))
    rows = measured_again(before, now, measure)
    assert asked == [{"loader", "training"}]
    assert [each.ratio for each in rows] == [4.1, 2.0, 3.9]
    assert compare(before, rows).slower == ["slower"]


def test_nothing_is_measured_again_where_nothing_is_slower() -> None:
    asked, measure = again()
    assert measured_again([row("a", 2.0)], [row("a", 3.0)], measure) == [row("a", 3.0)]
    assert asked == []


def test_the_last_entry_of_the_same_machine_and_settings_is_compared_with() -> None:
    other, small = replace(MACHINE, cores=64), {"clips": 8, "turns": 3}
    same = [entry(commit=name) for name in ("first", "second")]
    entries = [*same, entry(commit="small", settings=small), entry(commit="other", machine=other)]
    found, difference = last_of_kind(entries, entry())
    assert (found.commit, difference) == ("second", "")
    found, difference = last_of_kind(entries, entry(settings={"clips": 32, "turns": 3}))
    assert (found.commit, difference) == ("small", "clips 8, here 32")
    found, difference = last_of_kind(entries, entry(machine=replace(MACHINE, bf16=False)))
    assert found.commit == "other"
    assert "another machine: a processor, 64 cores, bf16, here a processor, 2 cores, no bf16" in difference


def test_the_load_is_told_of_both() -> None:
    assert loads(entry(load=None), entry(load=9.3)) == "the load was unknown then, and 9.3 now"


def test_without_a_history_it_is_said_how_one_begins() -> None:
    with pytest.raises(InputError, match="--record"):
        last_of_kind([], entry())


def test_entries_are_appended_and_read_back(kept: tuple[Path, Path]) -> None:
    first, second = entry(row("a", 2.0)), entry(row("a", 2.5), Row("x", "alone", 3e-7), commit="def5678", load=None)
    assert read_history(kept[0]) == []
    record(first, *kept)
    record(second, *kept)
    assert read_history(kept[0]) == [first, second]


def test_numbers_are_kept_in_four_digits_with_their_ratio() -> None:
    values = entry(Row("a", "b", 1.23456789, 7.0, "ms")).to_dict()["rows"][0]
    assert (values["ours"], values["ratio"]) == (1.235, 5.67)
    assert entry_from_dict({**entry().to_dict(), "rows": [values]}).rows == [Row("a", "b", 1.235, 7.0, "ms")]


def test_the_table_shows_the_ratios_of_the_last_entries(kept: tuple[Path, Path]) -> None:
    for index in range(7):
        record(entry(row("steady", 2.0), commit=f"commit{index}"), *kept)
    record(entry(row("novel", 3.0), Row("a", "difference", 0.1), commit="last"), *kept)
    text = kept[1].read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\n\nbehind\n")
    assert "old" not in text
    lines = text.splitlines()
    head = next(line for line in lines if "`last`" in line)
    assert head.count("commit") == 4
    assert head.count("|") == next(line for line in lines if line.startswith("|---")).count("|")
    assert "| novel |  |  |  |  | 3.0 × |" in lines
    assert "| steady | 2.0 × | 2.0 × | 2.0 × | 2.0 × |  |" in lines
    assert "difference" not in text
    assert "- 2026-01-01 `last`: a processor, 2 cores, bf16; Python 3.11.7, torch 2.11.0; clips 16, turns 3;" in text


def test_the_table_tells_of_the_numbers_that_are_kept(kept: tuple[Path, Path]) -> None:
    """626.5 and 1660 are 2.6 times apart; what was measured, 626.46 and 1660.3, is 2.7."""
    record(entry(Row("training", "step", 626.46, 1660.3, "ms")), *kept)
    assert with_table(kept[1], read_history(kept[0])) == kept[1].read_text(encoding="utf-8")


def test_a_readme_without_a_place_is_named_and_nothing_is_written(kept: tuple[Path, Path]) -> None:
    kept[1].write_text(f"{END} {BEGIN}", encoding="utf-8")
    with pytest.raises(InputError, match=r"README\.md: lacks"):
        record(entry(), *kept)
    assert not kept[0].exists()


@pytest.mark.parametrize("content", ["", "{}x", '{"a": 1}', "[1]", '[{"rows": []}]', "null"])
def test_a_history_that_is_none_is_named(kept: tuple[Path, Path], content: str) -> None:
    kept[0].write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=r"history\.json: is no list of entries"):
        read_history(kept[0])


def test_the_projects_own_table_tells_of_its_history() -> None:
    assert with_table(history.README, read_history()) == history.README.read_text(encoding="utf-8")


def test_a_machine_is_told_by_its_processor(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor : 0\nmodel name\t: Some: CPU @ 2 GHz\nprocessor : 1\nmodel name\t: Some: CPU @ 2 GHz\n")
    assert processor_name(file) == "Some: CPU @ 2 GHz"
    assert processor_name(tmp_path / "none") != ""
    assert this_machine(torch.device("cpu")).cores > 0


def test_a_folder_that_is_no_repository_has_no_commit(tmp_path: Path) -> None:
    assert commit(tmp_path) == UNKNOWN


@pytest.fixture
def run_speed(monkeypatch: pytest.MonkeyPatch, kept: tuple[Path, Path]) -> Callable[..., int]:
    """speed.py on the weights alone, which take no time, with a history of its own."""
    for module, name, value in ((speed, "README", kept[1]), (speed, "read_history", lambda: read_history(kept[0]))):
        monkeypatch.setattr(module, name, value)

    def call(*arguments: object) -> int:
        usual = ["--clips", 2, "--turns", 1, "--size", "nano", "--only", "weights"]
        monkeypatch.setattr(sys, "argv", ["speed.py", *map(str, [*usual, *arguments])])
        return speed.main()

    return call


@pytest.mark.slow
def test_the_weights_alone_are_checked(
    run_speed: Callable[..., int], kept: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = kept[0].with_name("now.json")
    assert run_speed("--json", file) == 0
    now = entry_from_dict(json.loads(file.read_text()))
    (ratio,) = (each.ratio for each in now.rows)
    assert ratio is not None
    record(replace(now, rows=[replace(now.rows[0], plain=now.rows[0].plain * 100)]), *kept)
    capsys.readouterr()
    assert run_speed("--check") == 1
    printed = capsys.readouterr().out
    assert printed.count(HEAD) == 2  # measured again
    assert "slower: ensemble weights" in printed
    record(replace(now, rows=[replace(now.rows[0], plain=now.rows[0].plain / 100)]), *kept)
    assert run_speed("--check") == 0
    assert "faster: ensemble weights" in capsys.readouterr().out


def test_what_can_not_be_compared_is_refused_before_anything_is_measured(
    run_speed: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "measure", lambda *_: pytest.fail("measured"))
    with pytest.raises(InputError, match="nothing has been recorded"):
        run_speed("--check")
    with pytest.raises(SystemExit):
        run_speed("--record")


@pytest.mark.slow
def test_every_part_gives_rows_of_one_table(
    run_speed: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "AT_LEAST", 2)
    parts, file = {"samples", "loader", "inference", "aligned", "verifier", "weights"}, tmp_path / "found.json"
    assert run_speed("--only", *parts, "--json", file) == 0
    found = entry_from_dict(json.loads(file.read_text()))
    assert {each.part for each in found.rows} == parts
    assert len({each.name for each in found.rows}) == len(found.rows)
    assert all(each.ours > 0 for each in found.rows)
    printed = capsys.readouterr().out
    assert printed.count(HEAD) == 1
    assert sum(line.startswith("| ") for line in printed.splitlines()) == len(found.rows) + 1
    assert found.machine == this_machine(torch.device("cpu"))
    assert str(ROOT) not in file.read_text()
