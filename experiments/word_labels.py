"""What is known of single words of the children's clips, for `--word_labels`: `python experiments/word_labels.py KIDS OUT.csv`.

From what was spoken: in a near miss the word that was changed is wrong, the others are right; the end is wrong where more was
said. Of another sentence's words nothing is told. With --experts, a word that was read as expected is wrong too where the
experts gave it 3 or less of 10 (more than 30 % of its phones), and not known where they gave 4 to 6.
"""

import argparse
import csv
import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from experiments.known_edits import KINDS, find_change
from models.base.cli import run
from models.base.files import replace_when_done

WRONG_UP_TO, RIGHT_FROM = 3, 7  # of the experts' ten


def known_words(expected: list[str], spoken: list[str], kind: str) -> dict[int, bool]:
    """Whether each word of the expected text was said, by its index; the number of words stands for the end."""
    end = len(expected)
    if kind == "match":
        return dict.fromkeys(range(end + 1), True)
    change = find_change(expected, spoken, kind) if kind in KINDS else None
    if change is None:
        return {}
    unsure = change.units if kind == "insert" and len(change.units) > 1 else frozenset[int]()
    found = {place: place not in change.units for place in range(end) if place not in unsure}
    return found if kind == "swap" else {**found, end: not change.gaps}


def judged_words(rows: pd.DataFrame) -> dict[int, bool | None]:
    """What the experts' scores of a clip's words say; None where they leave it open."""
    return {
        int(index): False if score <= WRONG_UP_TO else None if score < RIGHT_FROM else True
        for index, score in zip(rows["index"], rows["accuracy"], strict=True)
    }


def kept_words(
    expected: list[str], spoken: list[str], labels: Mapping[int, bool | None], judged: Mapping[int, bool | None]
) -> dict[int, bool | None]:
    """The experts' judgement of the words that were read, for those of them that stand in the expected text as they were said."""
    same = difflib.SequenceMatcher(None, expected, spoken, autojunk=False).get_matching_blocks()
    places = {start + index: place + index for start, place, size in same for index in range(size)}
    return {place: judged[said] for place, said in places.items() if labels.get(place) is not False and said in judged}


def label_rows(folder: Path, part: str, with_experts: bool) -> Iterator[tuple[str, int, int]]:
    source = pd.read_csv(folder / f"{part}_source.csv", dtype=str).set_index("filename")
    texts = pd.read_csv(folder / f"{part}_metadata.csv", dtype=str).set_index("filename")["expected_text"]
    scores = dict(iter(pd.read_csv(folder / "word_scores.csv").groupby("filename"))) if with_experts else {}
    for name, text in texts.items():
        row = source.loc[name]
        labels: dict[int, bool | None] = dict(known_words(text.split(), row["spoken_text"].split(), row["kind"]))
        if name in scores and labels:
            labels |= kept_words(text.split(), row["spoken_text"].split(), labels, judged_words(scores[name]))
        yield from ((str(name), index, int(right)) for index, right in labels.items() if right is not None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="as tools/make_speechocean.py writes it")
    parser.add_argument("output", type=Path)
    parser.add_argument("--experts", action="store_true", help="use the experts' scores too")
    options = parser.parse_args()
    rows = list(label_rows(options.folder, "train", options.experts))
    with replace_when_done(options.output) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("filename", "index", "right"), *rows])
    wrong = sum(not right for _, _, right in rows)
    print(f"wrote {options.output}: {len(rows)} words and ends, {wrong} of them wrong")


if __name__ == "__main__":
    run(main)
