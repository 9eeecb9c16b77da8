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

MODELS = ("model3mapd", "model2s")
N_FOLDS = 2
# A tiny encoder with random weights learns with a larger step, and the short clips of the demo need no 16 s.
TRAINING = "--encoder demo/encoder --max_seconds 8 --epochs 2 --batch_size 16 --learning_rate 1e-3".split()
GROUPS = "--group_by voice --groups demo/data/train_source.csv".split()
FOLDERS = "--data_dir demo/data --tts_dir demo/tts_data".split()


def commands(seed: int) -> list[list[str]]:
    """What a user would type, in order."""
    return [
        ["tools/make_demo_corpus.py", "demo/data", "--seed", str(seed)],
        ["tools/make_encoder.py", "demo/encoder", "--size", "nano", "--seed", str(seed)],
        ["preprocess.py", *FOLDERS],
        [
            "train.py",
            "--models",
            *MODELS,
            "--n_folds",
            str(N_FOLDS),
            *FOLDERS,
            "--output_dir",
            "demo/assets",
            *TRAINING,
            *GROUPS,
        ],
        ["check_models.py", "--assets_dir", "demo/assets"],
        ["get_config.py", "--assets_dir", "demo/assets", "--output", "demo/model_configs.pkl"],
        ["infer.py", *FOLDERS, "--config", "demo/model_configs.pkl", "--output", "demo/submission.csv"],
        ["tools/score.py", "demo/submission.csv", "demo/data/test_labels.csv"],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the corpus and the encoder (default: %(default)s)")
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
