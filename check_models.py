"""Log loss of every fold, and the folds that have to be trained again."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from models import ensemble, report
from models.base.cli import make_parser, non_negative, run

PAGE_OPTIONS = ("data_dir", "tts_dir", "groups", "group_by", "worst_clips", "no_audio")


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Print log loss, AUC, accuracy and clip count of the held-out clips per fold, model, task and grade, beside the log loss "
        "of always answering with the base rate. Name missing folds, folds trained otherwise than the rest, and folds whose loss "
        "stands out, with the command that trains them again. Exit code 1 if there are any. Tells of collapsed runs too.",
        "python check_models.py --assets_dir assets --report report.html",
    )
    parser.add_argument(
        "--assets_dir", type=Path, default=Path("assets"), help="folder with the .pth files (default: %(default)s)"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write all figures with intervals, pictures and the worst clips to this HTML page, which needs nothing else. It may "
        "hold recordings: give it to those alone who may hear them",
    )
    page = parser.add_argument_group("report", "what --report uses")
    page.add_argument(
        "--data_dir",
        type=Path,
        help="folder with the metadata, the labels and the audio files, for the worst clips (default: data)",
    )
    page.add_argument("--tts_dir", type=Path, help="folder with the references (default: tts_data)")
    page.add_argument(
        "--groups",
        type=Path,
        metavar="FILE",
        help="CSV with the columns filename and COLUMN: intervals draw its groups, such as speakers, instead of clips (default: "
        "what the folds were cut by)",
    )
    page.add_argument("--group_by", metavar="COLUMN", help="the column of --groups")
    page.add_argument(
        "--worst_clips", type=non_negative, metavar="N", help="how many of the worst clips to show (default: 20)"
    )
    page.add_argument("--no_audio", action="store_true", default=None, help="hold no recordings")
    arguments = parser.parse_args()
    given = [name for name in PAGE_OPTIONS if getattr(arguments, name) is not None]
    if given and arguments.report is None:
        parser.error(f"--{given[0]} is for --report, which is not given")
    if (arguments.groups is None) != (arguments.group_by is None):
        parser.error("--groups and --group_by belong together")
    return arguments


def write_page(arguments: argparse.Namespace, assets: Mapping[Path, object]) -> None:

    given = {name: getattr(arguments, name) for name in PAGE_OPTIONS if getattr(arguments, name) is not None}
    with_sound = not given.pop("no_audio", False)
    report.write_report(
        arguments.report, assets, report.ReportOptions(arguments.assets_dir, with_sound=with_sound, **given)
    )
    print(f"wrote {arguments.report}")


def main() -> int:
    arguments = parse_arguments()

    assets = ensemble.read_assets(arguments.assets_dir)
    checkpoints = [item for item in assets.values() if isinstance(item, ensemble.Checkpoint)]
    if checkpoints:
        rows = report.oof_table(checkpoints)
        for by in (["model", "fold"], ["model"], ["task"], ["grade"]):
            print(f"per {by[-1]}\n{report.figure_table(rows, by).to_string(index=False, float_format='%.4f')}\n")
    for text in report.describe_tries(checkpoints):
        print(text)
    problems = report.find_faulty_folds(assets, arguments.assets_dir)
    for problem in problems:
        print(f"{problem.what}\n    {problem.command}")
    print(f"{len(checkpoints)} checkpoints read, {len(problems)} problems")
    if arguments.report is not None:
        write_page(arguments, assets)
    return 1 if problems else 0


if __name__ == "__main__":
    run(main)
