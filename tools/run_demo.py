"""The whole chain on a small corpus of synthetic voices, offline: what `make demo` runs. Everything stays in `demo/`."""

import argparse
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO = Path("demo")

FOLDERS = "--data_dir demo/data --tts_dir demo/tts_data".split()
FOLDS = "--n_folds 2 --group_by voice --groups demo/data/train_source.csv --output_dir demo/assets".split()
# Two recipes from the encoder that the project ships. The clips of the demo are short, and few: small steps, few epochs.
MODELS = ["--models", "aligntiny", "alignsmall", "--encoder", "assets/encoders/phonetic-tiny"]
TRAINING = "--max_seconds 8 --epochs 3 --schedule_epochs 3 --learning_rate 1.5e-4".split()


def commands(seed: int) -> list[list[str]]:
    """What a user would type, in order."""
    return [
        ["tools/make_demo_corpus.py", "demo/data", "--seed", str(seed)],
        ["preprocess.py", *FOLDERS],
        ["train.py", *MODELS, *TRAINING, *FOLDERS, *FOLDS],
        ["check_models.py", "--assets_dir", "demo/assets"],
        ["get_config.py", "--assets_dir", "demo/assets", "--output", "demo/model_configs.pkl"],
        ["infer.py", *FOLDERS, "--config", "demo/model_configs.pkl", "--output", "demo/submission.csv"],
        ["tools/score.py", "demo/submission.csv", "demo/data/test_labels.csv"],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the corpus (default: %(default)s)")
    arguments = parser.parse_args()
    shutil.rmtree(ROOT / DEMO, ignore_errors=True)
    start_seconds = time.monotonic()
    for command in commands(arguments.seed):
        print(f"\n$ python {shlex.join(command)}", flush=True)
        finished = subprocess.run([sys.executable, *command], cwd=ROOT, check=False)
        if finished.returncode:
            sys.exit(f"the demo stopped: {command[0]} ended with {finished.returncode}")
    print(f"\nthe demo took {(time.monotonic() - start_seconds) / 60:.1f} minutes; everything it made is in {DEMO}/")


if __name__ == "__main__":
    main()
