"""The whole chain as a user runs it: CSV and audio in, submission.csv out.

Run: .venv/bin/python -m pytest tests/scripts/test_pipeline.py
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes import ROOT, write_part

from models.clips.batches import collate_joined
from models.clips.dataset import ComparisonDataset
from models.clips.tables import read_metadata, utterances
from models.ensemble.checkpoint import load_checkpoint
from models.ensemble.config import read_config
from models.ensemble.rebuild import rebuild_network
from models.speech.references import References

pytestmark = pytest.mark.slow

MODELS = ("model3mapd", "model2s")


def script(name: str, *arguments: object, expect: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(ROOT / name), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == expect, f"{name}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, encoder_dir: Path) -> Path:
    """A folder in which preprocess.py, train.py, get_config.py and infer.py have run."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "data").mkdir()
    for part, n_clips in (("train", 24), ("test", 9)):
        write_part(folder / "data", part, n_clips, np.random.default_rng(0))
    script("preprocess.py", *folders(folder), "--jobs", 2)
    script("train.py", *training(folder, encoder_dir))
    script("get_config.py", "--assets_dir", folder / "assets", "--output", folder / "model_configs.pkl")
    script("infer.py", *inference(folder), "--output", folder / "submission.csv")
    return folder


def folders(folder: Path) -> list[object]:
    return ["--data_dir", folder / "data", "--tts_dir", folder / "tts_data"]


def training(folder: Path, encoder_dir: Path) -> list[object]:
    options: list[object] = ["--models", *MODELS, "--n_folds", 2, *folders(folder), "--output_dir", folder / "assets"]
    options += ["--group_by", "speaker", "--groups", folder / "data" / "train_source.csv"]
    return [
        *options,
        "--encoder",
        encoder_dir,
        "--epochs",
        1,
        "--max_tries",
        1,
        "--batch_size",
        4,
        "--max_seconds",
        2.5,
        "--num_workers",
        0,
    ]


def inference(folder: Path) -> list[object]:
    return [*folders(folder), "--config", folder / "model_configs.pkl", "--num_workers", 0]


def test_submission_has_the_formats_rows_in_its_order(work: Path) -> None:
    submission = pd.read_csv(work / "submission.csv")
    wanted = pd.read_csv(work / "data" / "submission_format.csv")
    metadata = read_metadata(work / "data" / "test_metadata.csv")
    assert list(submission.columns) == ["filename", "score"]
    assert submission["filename"].tolist() == wanted["filename"].tolist()
    assert submission["filename"].tolist() != metadata["filename"].tolist()  # so the order is tested
    assert submission["score"].between(0, 1, inclusive="neither").all()
    assert submission["score"].nunique() > 1


def test_scores_are_the_weighted_mean_over_models_and_folds(work: Path) -> None:
    """Recomputed from the files alone, clip by clip."""
    config = read_config(work / "model_configs.pkl")
    table = read_metadata(work / "data" / "test_metadata.csv")
    dataset = ComparisonDataset(table, work / "data", References(work / "tts_data").load(utterances(table)), 80, 250)
    expected = np.zeros(len(table))
    for entry in config.models:
        for path in entry.paths:
            network = rebuild_network(load_checkpoint(work / path))
            for row in range(len(table)):
                batch = collate_joined([dataset[row]])
                probability = network(batch["log_mel"], batch["scalars"])["logits"].sigmoid().item()
                expected[row] += entry.weight / len(entry.paths) * probability
    found = pd.read_csv(work / "submission.csv").set_index("filename").loc[table["filename"], "score"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_weights_follow_from_the_oof_predictions(work: Path) -> None:
    config = read_config(work / "model_configs.pkl")
    assert {entry.name for entry in config.models} == set(MODELS)
    assert sum(entry.weight for entry in config.models) == pytest.approx(1)
    assert all(len(entry.paths) == 2 and entry.max_seconds == 2.5 and entry.batch_size == 4 for entry in config.models)


def test_fewer_folds_give_other_scores(work: Path) -> None:
    script("infer.py", *inference(work), "--folds_per_model", 1, "--output", work / "half.csv")
    half, whole = pd.read_csv(work / "half.csv"), pd.read_csv(work / "submission.csv")
    assert half["filename"].tolist() == whole["filename"].tolist()
    assert not np.allclose(half["score"], whole["score"], atol=1e-6)
    done = script("infer.py", *inference(work), "--folds_per_model", 3, "--output", work / "none.csv", expect=1)
    assert "--folds_per_model 3" in done.stderr
    assert not (work / "none.csv").exists()


def test_finished_folds_are_skipped_and_a_failing_one_does_not_stop_the_others(work: Path, encoder_dir: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in (work / "assets").glob("*.pth")}
    assert "4 finished already" in script("train.py", *training(work, encoder_dir)).stdout
    (work / "assets" / "model2s_0.pth").write_bytes(b"broken")
    (work / "assets" / "model2s_1.pth").rename(work / "kept.pth")
    done = script("train.py", *training(work, encoder_dir), expect=1)
    assert "1 folds trained, 2 finished already, 1 failed" in done.stdout
    assert "failed: model2s fold 0" in done.stdout
    after = {path.name: path.stat().st_mtime_ns for path in (work / "assets").glob("*.pth")}
    assert {name for name in before if after[name] == before[name]} == {"model3mapd_0.pth", "model3mapd_1.pth"}
    # What check_models.py says of it, and that its command mends it.
    report = script("check_models.py", "--assets_dir", work / "assets", expect=1).stdout
    command = next(
        line.strip() for line in report.splitlines() if line.strip().startswith("python train_model2s.py --fold 0")
    )
    script(*command.split()[1:])
    again = script("check_models.py", "--assets_dir", work / "assets").stdout
    assert "0 problems" in again
    assert all(
        word in again
        for word in ("per fold", "per model", "per task", "per grade", "log_loss", "AUC", "accuracy", "clips")
    )


def test_a_new_test_text_is_spoken_with_the_models_voice(work: Path) -> None:
    import shutil

    shutil.copytree(work / "data", work / "other")
    metadata = pd.read_csv(work / "other" / "test_metadata.csv", dtype=str)
    metadata["expected_text"] = "never heard before"
    metadata.to_csv(work / "other" / "test_metadata.csv", index=False)
    options = ["--data_dir", work / "other", "--tts_dir", work / "tts_data", "--config", work / "model_configs.pkl"]
    fresh = script("get_config.py", "--assets_dir", work / "assets", "--output", work / "model_configs.pkl")
    assert "wrote" in fresh.stdout
    script("infer.py", *options, "--num_workers", 0, "--output", work / "other.csv")
    listed = pd.read_csv(work / "tts_data" / "data_paths.csv")
    assert "never heard before" in listed["text"].tolist()


def test_another_voice_is_refused(work: Path) -> None:
    script("preprocess.py", "--data_dir", work / "data", "--tts_dir", work / "fast", "--speed", 1.0, "--jobs", 1)
    options = ["--data_dir", work / "data", "--tts_dir", work / "fast", "--config", work / "model_configs.pkl"]
    done = script("infer.py", *options, "--output", work / "none.csv", expect=1)
    assert "voice" in done.stderr
    assert "Traceback" not in done.stderr
