"""Put several folders in the competition's layout together, to train on all of them at once.

    python tools/join_corpora.py speech/kids speech/words speech/all

Recordings are copied. Tables of the same name are put below each other, with the columns that all of them have: also
`*_source.csv`, for folds by speaker.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from models.base.cli import run
from models.base.files import replace_when_done
from models.clips.tables import clip_paths
from models.errors import InputError
from tools.layout import write_table

PARTS = ("train", "test")
TABLES = [f"{part}_{name}.csv" for part in PARTS for name in ("metadata", "labels", "source")]
FORMAT = "submission_format.csv"


def read_tables(folders: Sequence[Path]) -> dict[str, pd.DataFrame]:
    """By file name, each of all folders that have it.

    Raises
    ------
    InputError
        Where no folder has a table, or where two clips have one name.
    """
    found = {}
    for name in (*TABLES, FORMAT):
        tables = [pd.read_csv(folder / name, dtype=str) for folder in folders if (folder / name).is_file()]
        if tables:
            found[name] = pd.concat(tables, join="inner", ignore_index=True)
            twice = found[name]["filename"].duplicated()
            if twice.any():
                raise InputError(
                    f"{name}: several folders have a clip {found[name]['filename'][twice].iloc[0]!r}; rename one"
                )
    if not any(name in found for name in ("train_metadata.csv", "test_metadata.csv")):
        raise InputError(f"{', '.join(map(str, folders))}: no train_metadata.csv and no test_metadata.csv there")
    return found


def join(folders: Sequence[Path], target: Path) -> dict[str, pd.DataFrame]:
    """The recordings first: tables name none that is not there."""
    tables = read_tables(folders)
    for folder in folders:
        for part in PARTS:
            file = folder / f"{part}_metadata.csv"
            names = pd.read_csv(file, dtype=str)["filename"].tolist() if file.is_file() else []
            paths = clip_paths(folder, names)
            for name, path in tqdm(zip(names, paths, strict=True), f"{folder.name}, {part}", len(names), disable=None):
                with replace_when_done(target / name) as temporary:
                    shutil.copyfile(path, temporary)
    for name, table in tables.items():
        write_table(table, target / name)
    return tables


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="two or more, with *_metadata.csv")
    parser.add_argument("output", type=Path, help="folder for all of them, new or empty")
    options = parser.parse_args(arguments)
    if len(options.folders) < 2:
        parser.error("give at least two folders, and the one to write")
    if options.output.exists() and (not options.output.is_dir() or any(options.output.iterdir())):
        raise InputError(f"{options.output}: is there already; give a new folder")
    tables = join(options.folders, options.output)
    for name, table in tables.items():
        print(f"{options.output / name}: {len(table)} rows")


if __name__ == "__main__":
    run(main)
