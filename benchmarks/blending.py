"""The weights of an ensemble, and the scripts that read all its checkpoints."""

import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.material import as_process, in_turn, member_of, recipe_of
from benchmarks.plain import plain_weights
from benchmarks.rows import Row, timed
from benchmarks.setting import Setting
from benchmarks.simulate_ensemble import made_table, simulate
from models.ensemble.blend import fit_weights
from models.ensemble.metrics import sigmoid
from models.ensemble.rebuild import rebuild_network
from models.network.build import network_settings

TRAINING_CLIPS = 38_095


def time_weights(setting: Setting) -> list[Row]:
    """The weights of 10 models on the real number of training clips."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, TRAINING_CLIPS).astype(np.float64)
    shared = rng.normal(0, 1.2, (len(labels), 1))
    predictions = sigmoid(2.2 * (2 * labels[:, None] - 1) + shared + rng.normal(0, 1.0, (len(labels), 10)))
    found = in_turn(
        lambda: fit_weights(labels, predictions), lambda: plain_weights(labels, predictions), turns=setting.turns
    )
    return [timed("weights", f"ensemble weights, 10 × {TRAINING_CLIPS:,}", found)]


def time_checks(setting: Setting, folder: Path) -> list[Row]:
    """check_models.py and get_config.py on 60 checkpoints, as processes, beside each checkpoint's log loss alone."""
    checkpoint = member_of(setting.size, recipe_of()).checkpoint
    settings = network_settings(rebuild_network(checkpoint))
    simulate(folder, made_table(TRAINING_CLIPS), checkpoint.weights, settings)
    gigabytes = sum(path.stat().st_size for path in folder.iterdir()) / 2**30
    commands = {
        "check_models.py": ["check_models.py", "--assets_dir", folder],
        "get_config.py": ["get_config.py", "--assets_dir", folder, "--output", folder / "model_configs.pkl"],
        "plain": ["benchmarks/plain.py", folder],
    }
    found = dict(zip(commands, medians([*commands.values()], setting.turns), strict=True))
    plain_seconds, plain_memory = found.pop("plain")
    rows = []
    for what, (seconds, memory) in found.items():
        name = f"{what}, 60 checkpoints of {gigabytes:.1f} GB; plain: log loss per fold alone"
        rows.append(timed("checks", name, (seconds, plain_seconds), unit="s"))
        rows.append(Row("checks", f"{what}, peak memory", memory, plain_memory, "GB"))
    return rows


def medians(commands: Sequence[Sequence[object]], turns: int) -> list[tuple[float, float]]:
    """Seconds and gigabytes of each; the commands take turns."""
    measured = [[as_process(command)[1:] for command in commands] for _ in range(turns)]
    return [
        (statistics.median(seconds), statistics.median(memory))
        for seconds, memory in (zip(*runs, strict=True) for runs in zip(*measured, strict=True))
    ]
