"""Children's speech from training to the table in docs/results.md: models from the shipped encoder, a verifier, a baseline.

Folds keep speakers apart. The test clips are scored at the end, once; `tools/make_speechocean.py` makes the folder. What is
trained already is not trained again, so folds may be trained elsewhere, several at a time.
"""

import argparse
from pathlib import Path

from tools.chain import run_commands

SHIPPED = "assets/encoders/phonetic-tiny"
ALIGNED, JOINT, VERIFIER = "aligntiny", "model3mcp", "verifybase"
BLOCK_CLIPS = "60"  # of which pieces are asked, which takes 4 s a clip and fold
TRAINING = "--n_folds 6 --max_seconds 12".split()
TRAIN_ALIGNED = f"--models {ALIGNED} --encoder {SHIPPED} --learning_rate 1e-4 --epochs 2 --schedule_epochs 2".split()
TRAIN_JOINT = f"--models {JOINT} --encoder {SHIPPED} --joint matched --augment none --dropout 0.1".split()
TRAIN_JOINT += "--learning_rate 2e-4 --epochs 2 --schedule_epochs 2".split()


def commands(kids: Path, work: Path, whisper: Path | None) -> list[list[str]]:
    """What a user would type, in order. Relative paths are as from the project's folder."""
    folders = ["--data_dir", str(kids), "--tts_dir", str(work / "tts_data")]
    speakers = ["--group_by", "speaker", "--groups", str(kids / "train_source.csv")]
    assets, words = work / "assets", work / "words.csv"
    train = ["train.py", *folders, *speakers, *TRAINING, "--output_dir", str(assets)]
    chain = [
        ["preprocess.py", *folders],
        [*train, *TRAIN_ALIGNED],
        [*train, *TRAIN_JOINT],
        ["experiments/likelihood_ratio.py", "--data_dir", str(kids), "--output", str(work / "likelihood_ratio.csv")],
    ]
    runs = {"joint": [JOINT], "aligned": [ALIGNED], "blend": [ALIGNED, JOINT]}
    if whisper is not None:
        chain.append(["experiments/word_labels.py", str(kids), str(words), "--experts"])
        chain.append([*train, "--models", VERIFIER, "--encoder", str(whisper), "--word_labels", str(words)])
        runs |= {"verifier": [VERIFIER], "verifier and blend": [VERIFIER, ALIGNED, JOINT]}
    chain.append(["check_models.py", "--assets_dir", str(assets)])
    for name, models in runs.items():
        config, output = str(work / f"{name}.pkl"), str(work / f"{name}.csv")
        weights = ["get_config.py", "--blend", "simplex", "--assets_dir", str(assets)]
        chain.append([*weights, "--models", *models, "--output", config])
        chain.append(["infer.py", *folders, "--config", config, "--output", output])
    submissions = [f"{name}={work / name}.csv" for name in ("likelihood_ratio", *runs)]
    chain.append(["experiments/compare.py", "--data_dir", str(kids), *submissions])
    for model, method in {ALIGNED: "alignment", JOINT: "blocks", VERIFIER: "tokens"}.items():
        if model != VERIFIER or whisper is not None:
            folds = [str(assets / f"{model}_{fold}.pth") for fold in range(6)]
            fewer = ["--clips", BLOCK_CLIPS] if model == JOINT else []
            chain.append(["experiments/human_scores.py", "--data_dir", str(kids), *fewer, *folds])
            chain.append(
                ["experiments/measure_localization.py", "--data_dir", str(kids), *folds, *fewer, "--methods", method]
            )
    return chain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kids", type=Path, help="folder in the competition's layout, with *_source.csv")
    parser.add_argument(
        "--work", type=Path, default=Path("children"), help="for all that is made (default: %(default)s)"
    )
    parser.add_argument(
        "--whisper", type=Path, help="folder of whisper-base (tools/get_whisper.py base DIR): trains a verifier too"
    )
    options = parser.parse_args()
    whisper = options.whisper and options.whisper.resolve()
    minutes = run_commands(commands(options.kids.resolve(), options.work.resolve(), whisper))
    print(f"\nthat took {minutes:.0f} minutes; everything it made is in {options.work}/")


if __name__ == "__main__":
    main()
