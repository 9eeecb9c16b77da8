"""Children's speech from training to the table in docs/results.md: models from the shipped encoder, and three baselines.

Folds keep speakers apart. The test clips are scored at the end, once; `tools/make_speechocean.py` makes the folder.
"""

import argparse
from pathlib import Path

from tools.chain import run_commands

SHIPPED = "assets/encoders/phonetic-tiny"
ALIGNED, JOINT, SCRATCH = "aligntiny", "model3mcp", "alignment from scratch"
TRAINING = "--n_folds 3 --max_seconds 12 --precision bf16".split()
TRAIN_ALIGNED = f"--models {ALIGNED} --encoder {SHIPPED} --learning_rate 1e-4 --epochs 2 --schedule_epochs 2".split()
TRAIN_JOINT = f"--models {JOINT} --encoder {SHIPPED} --joint matched --augment none --dropout 0.1".split()
TRAIN_JOINT += "--learning_rate 2e-4 --epochs 2 --schedule_epochs 2".split()
TRAIN_SCRATCH = f"--models {ALIGNED} --learning_rate 3e-4 --epochs 2 --schedule_epochs 2 --max_tries 1".split()


def commands(kids: Path, work: Path) -> list[list[str]]:
    """What a user would type, in order. Relative paths are as from the project's folder."""
    folders = ["--data_dir", str(kids), "--tts_dir", str(work / "tts_data")]
    speakers = ["--group_by", "speaker", "--groups", str(kids / "train_source.csv")]
    shipped, scratch, random = work / "assets", work / "scratch", work / "random_encoder"
    train = ["train.py", *folders, *speakers, *TRAINING]
    chain = [
        ["preprocess.py", *folders],
        ["tools/make_encoder.py", str(random), "--size", "phonetic"],
        [*train, *TRAIN_ALIGNED, "--output_dir", str(shipped)],
        [*train, *TRAIN_JOINT, "--output_dir", str(shipped)],
        [*train, *TRAIN_SCRATCH, "--encoder", str(random), "--output_dir", str(scratch)],
        ["check_models.py", "--assets_dir", str(shipped)],
        ["experiments/likelihood_ratio.py", "--data_dir", str(kids), "--output", str(work / "likelihood_ratio.csv")],
    ]
    runs = {
        SCRATCH: (scratch, [ALIGNED]),
        "joint": (shipped, [JOINT]),
        "aligned": (shipped, [ALIGNED]),
        "blend": (shipped, [ALIGNED, JOINT]),
    }
    for name, (assets, models) in runs.items():
        config, output = str(work / f"{name}.pkl"), str(work / f"{name}.csv")
        chain.append(["get_config.py", "--assets_dir", str(assets), "--models", *models, "--output", config])
        chain.append(["infer.py", *folders, "--config", config, "--output", output])
    submissions = [f"{name}={work / name}.csv" for name in runs]
    ratio = f"likelihood ratio={work / 'likelihood_ratio.csv'}"
    return [*chain, ["experiments/compare.py", "--data_dir", str(kids), ratio, *submissions]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kids", type=Path, help="folder in the competition's layout, with *_source.csv")
    parser.add_argument(
        "--work", type=Path, default=Path("children"), help="for all that is made (default: %(default)s)"
    )
    options = parser.parse_args()
    minutes = run_commands(commands(options.kids.resolve(), options.work.resolve()))
    print(f"\nthat took {minutes:.0f} minutes; everything it made is in {options.work}/")


if __name__ == "__main__":
    main()
