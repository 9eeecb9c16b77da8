"""Log loss of every fold, and the folds that have to be trained again."""

import argparse
from pathlib import Path

from models.cli import make_parser, run


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Print log loss, AUC, accuracy and clip count of the held-out clips per fold, model, task and grade, beside the log loss "
        "of always answering with the base rate. Name missing folds, folds trained otherwise than the rest, and folds whose loss "
        "stands out, with the command that trains them again. Exit code 1 if there are any. Tells of collapsed runs too.",
        "python check_models.py --assets_dir assets",
    )
    parser.add_argument(
        "--assets_dir", type=Path, default=Path("assets"), help="folder with the .pth files (default: %(default)s)"
    )
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    from models.checkpoint import Checkpoint
    from models.ensemble import read_assets
    from models.report import describe_tries, figure_table, find_problems, oof_table

    assets = read_assets(arguments.assets_dir)
    checkpoints = [item for item in assets.values() if isinstance(item, Checkpoint)]
    if checkpoints:
        rows = oof_table(checkpoints)
        for by in (["model", "fold"], ["model"], ["task"], ["grade"]):
            print(f"per {by[-1]}\n{figure_table(rows, by).to_string(index=False, float_format='%.4f')}\n")
    for text in describe_tries(checkpoints):
        print(text)
    problems = find_problems(assets, arguments.assets_dir)
    for problem in problems:
        print(f"{problem.what}\n    {problem.command}")
    print(f"{len(checkpoints)} checkpoints read, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    run(main)
