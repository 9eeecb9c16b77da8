"""The whole chain on a small corpus of synthetic voices, offline: what `make demo` runs. Everything stays in `demo/`."""

import argparse
import shutil
from pathlib import Path

from tools.chain import ROOT, run_commands

DEMO = Path("demo")

FOLDERS = "--data_dir demo/data --tts_dir demo/tts_data".split()
FOLDS = "--n_folds 2 --group_by voice --groups demo/data/train_source.csv --output_dir demo/assets".split()
# Two kinds of model on the encoder that the project ships: reference and response encoded apart, and as one input.
# The clips are short, and few: small steps, few epochs.
TRAINING = "--encoder assets/encoders/phonetic-tiny --max_seconds 8 --epochs 3 --schedule_epochs 3".split()
MODELS = {
    "aligntiny": "--learning_rate 1.5e-4".split(),
    "model3mcp": "--joint matched --augment none --dropout 0.1 --learning_rate 3e-4".split(),
}


def commands(seed: int) -> list[list[str]]:
    """What a user would type, in order."""
    chain = [
        ["tools/make_demo_corpus.py", "demo/data", "--seed", str(seed)],
        ["preprocess.py", *FOLDERS],
        *(["train.py", "--models", name, *own, *TRAINING, *FOLDERS, *FOLDS] for name, own in MODELS.items()),
        ["check_models.py", "--assets_dir", "demo/assets"],
    ]
    for name in [*MODELS, "blend"]:
        config, output = f"demo/{name}.pkl", f"demo/{name}.csv"
        only = [] if name == "blend" else ["--models", name]
        chain.append(["get_config.py", "--assets_dir", "demo/assets", "--blend", "simplex", *only, "--output", config])
        chain.append(["infer.py", *FOLDERS, "--config", config, "--output", output])
        chain.append(["tools/score.py", output, "demo/data/test_labels.csv"])
    return chain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the corpus (default: %(default)s)")
    arguments = parser.parse_args()
    shutil.rmtree(ROOT / DEMO, ignore_errors=True)
    minutes = run_commands(commands(arguments.seed))
    print(f"\nthe demo took {minutes:.1f} minutes; everything it made is in {DEMO}/")


if __name__ == "__main__":
    main()
