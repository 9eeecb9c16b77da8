"""Children's speech from training to the tables in docs/results.md: models from the shipped encoder, a verifier, a baseline.

Of sentences alone, or with --words of all four tasks. Folds keep speakers apart. The test clips are scored at the end, once;
`tools/make_speechocean.py` makes the folders. What is trained already is not trained again, so folds may be trained elsewhere,
several at a time.
"""

import argparse
import itertools
from pathlib import Path

from tools.chain import run_commands

SHIPPED = "assets/encoders/phonetic-tiny"
ALIGNED, JOINT = "aligntiny", "model3mcp"
VERIFIERS = ("verifybase", "verifytiny")
TRAINING = "--n_folds 6 --max_seconds 12".split()
TRAIN_ALIGNED = f"--models {ALIGNED} --encoder {SHIPPED} --learning_rate 1e-4 --epochs 2 --schedule_epochs 2".split()
TRAIN_JOINT = f"--models {JOINT} --encoder {SHIPPED} --joint matched --augment none --dropout 0.1".split()
TRAIN_JOINT += "--learning_rate 2e-4 --epochs 2 --schedule_epochs 2".split()
ALL_TASKS = "--batch_size 32 --learning_rate 4e-5 --augment rooms --epochs 3 --schedule_epochs 3".split()  # verifiers'

Command = list[str]


def commands(kids: Path, words: Path | None, work: Path, whisper: Path | None, verifier: str) -> list[Command]:
    """What a user would type, in order. Relative paths are as from the project's folder."""
    data_dir, assets = kids if words is None else work / "all", work / "assets"
    folders = ["--data_dir", str(data_dir), "--tts_dir", str(work / "tts_data")]
    models = [ALIGNED, JOINT, *([] if whisper is None else [verifier])]
    joining = [] if words is None else [["tools/join_corpora.py", str(kids), str(words), str(data_dir)]]
    return [
        *(command for command in joining if not data_dir.exists()),
        ["preprocess.py", *folders],
        *_training(kids, words, folders, work, whisper, verifier),
        ["check_models.py", "--assets_dir", str(assets)],
        *_scoring(models, folders, work),
        *_looking(models, kids, words, work),
    ]


def _training(
    kids: Path, words: Path | None, folders: Command, work: Path, whisper: Path | None, verifier: str
) -> list[Command]:
    speakers = ["--group_by", "speaker", "--groups", str(Path(folders[1]) / "train_source.csv")]
    train = ["train.py", *folders, *speakers, *TRAINING, "--output_dir", str(work / "assets")]
    chain = [[*train, *TRAIN_ALIGNED], [*train, *TRAIN_JOINT]]
    if whisper is not None:
        labels = str(work / "words.csv")
        own = ["--models", verifier, "--encoder", str(whisper), "--word_labels", labels]
        chain.append(["experiments/word_labels.py", str(kids), labels, "--experts"])
        chain.append([*train, *own, *([] if words is None else ALL_TASKS)])
    return chain


def _scoring(models: list[str], folders: Command, work: Path) -> list[Command]:
    """Of each kind of model, of the likelihood ratio and of the blend, and the table of all."""
    runs = dict(zip(("aligned", "joint", "verifier"), ([name] for name in models), strict=False)) | {"blend": models}
    ratio = work / "likelihood_ratio.csv"
    chain = [["experiments/likelihood_ratio.py", *folders[:2], "--output", str(ratio)]]
    for name, blended in runs.items():
        config, output = str(work / f"{name}.pkl"), str(work / f"{name}.csv")
        weights = ["get_config.py", "--blend", "simplex", "--assets_dir", str(work / "assets")]
        chain.append([*weights, *folders[:2], "--models", *blended, "--output", config])
        chain.append(["infer.py", *folders, "--config", config, "--output", output])
    submissions = [f"{name}={work / name}.csv" for name in ("likelihood_ratio", *runs)]
    return [*chain, ["experiments/compare.py", *folders[:2], *submissions]]


def _looking(models: list[str], kids: Path, words: Path | None, work: Path) -> list[Command]:
    """Which word, and which phone of a single word; what experts say. A joint model tells none of it.

    A verifier is taught phones first.
    """
    chain, asked = list[Command](), {ALIGNED: _folds(ALIGNED, work / "assets")}
    for verifier in (model for model in models if model not in (ALIGNED, JOINT)):
        teach = ["tools/teach_phones.py", *_folds(verifier, work / "assets"), "--output_dir", str(work / "taught")]
        chain.append([*teach, "--transcripts", str(kids / "train_source.csv")])
        asked[verifier] = _folds(verifier, work / "taught")
    chain += [["experiments/human_scores.py", "--data_dir", str(kids), *itertools.chain.from_iterable(asked.values())]]
    for model, folds in asked.items():
        method = "alignment" if model == ALIGNED else "tokens"
        measuring = ["experiments/measure_localization.py", *folds, "--methods", method, "--data_dir"]
        chain.append([*measuring, str(kids)])
        if words is not None and model == ALIGNED:
            chain.append([*measuring, str(words)])
    return chain


def _folds(model: str, folder: Path) -> list[str]:
    return [str(folder / f"{model}_{fold}.pth") for fold in range(6)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kids", type=Path, help="folder in the competition's layout, with *_source.csv")
    parser.add_argument("--words", type=Path, help="folder of single words by the same children: all four tasks")
    parser.add_argument(
        "--work", type=Path, default=Path("children"), help="for all that is made (default: %(default)s)"
    )
    parser.add_argument("--whisper", type=Path, help="folder from tools/get_whisper.py: trains a verifier too")
    parser.add_argument("--verifier", choices=VERIFIERS, default=VERIFIERS[0], help="(default: %(default)s)")
    options = parser.parse_args()
    kids, words, work, whisper = (
        path and path.resolve() for path in (options.kids, options.words, options.work, options.whisper)
    )
    minutes = run_commands(commands(kids, words, work, whisper, options.verifier))
    print(f"\nthat took {minutes:.0f} minutes; everything it made is in {options.work}/")


if __name__ == "__main__":
    main()
