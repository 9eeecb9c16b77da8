"""infer.py --ray: the same bytes as without, over a cluster, which here is two nodes of this machine. Skipped without Ray.

Run: .venv/bin/python -m pytest tests/cluster/test_ray_inference.py
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from background import Start, add_node, output, ray_cluster, session, starting, wait_for
from fakes import (
    INFER,
    ROOT,
    SAID,
    made_correction,
    priors,
    read_reasons,
    read_rows,
    tones,
    trained_checkpoint,
    write_part,
)

from models.base.cli import default_workers
from models.base.files import sha256_of_file
from models.clips.tables import read_metadata, utterances
from models.cluster.clip_task import NodeOptions, score_clips
from models.cluster.clips import MOST_CHUNKS, ClipCluster, count_places, share_clips
from models.cluster.connection import MOST_TRIES, run_tasks
from models.ensemble.checkpoint import save_checkpoint
from models.ensemble.config import EnsembleConfig, ModelEntry, write_config
from models.ensemble.source import EnsembleSource
from models.errors import InputError
from models.speech.options import VoiceOptions
from models.speech.references import read_identity
from models.speech.speaking import speak_references

pytestmark = pytest.mark.slow

PROMPT = {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}  # Ray's processes give way to all others unless told so
SCRIPT = str(ROOT / INFER)  # by its path it gets no options from the fixture `script`
MODELS = {"model2s": 0.5, "alignsmall": 0.2, "verifymodel": 0.1, "matchedmodel": 0.2}
UNSPOKEN = ("test3.wav", "test60.wav", "test200.wav")  # their expected text
SMALL = f"""
import runpy, sys, time, tqdm
from pathlib import Path
from models.cluster import clips
from models.inference import scoring, self_corrections

class Bar(tqdm.tqdm):
    def __init__(self, **options):
        super().__init__(**options | dict(disable=False, mininterval=0))

def small_chunks():
    scoring.CHUNK_CLIPS, scoring.LOADER_CLIPS = 60, 4
    self_corrections.CALLED_RIGHT, self_corrections.counting_attempt = 1.0, lambda whole, attempts: len(attempts) - 1

def score_clips(node, table, references):
    small_chunks()  # on the node too
    hold = node.data_dir.parent / "hold"
    while hold.exists() and hold.read_text() not in list(table["filename"]):
        time.sleep(0.05)
    return score(node, table, references)

small_chunks()
clips.tqdm, clips.CHECKED_CLIPS, score, clips.score_clips = Bar, 30, clips.score_clips, score_clips
sys.argv = ["infer.py", *sys.argv[1:]]
runpy.run_path({str(ROOT / INFER)!r}, run_name="__main__")
"""  # Where self-corrections are accepted, each last attempt counts.
# Chunks of 20 clips, two to a task; tasks wait while there is a file `hold` that names none of their clips; the bar is shown


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, encoder_dir: Path) -> Path:
    """400 clips, of which 18 next to each other and four more can't be read, and models of three kinds. Three texts can't be
    spoken, one of them that of a clip that can't be read."""
    folder = tmp_path_factory.mktemp("ray_inference")
    (folder / "data").mkdir()
    write_part(folder / "data", "test", 400, np.random.default_rng(0))
    names = [name for name, _ in read_rows(folder / "data" / "submission_format.csv")[1:]]
    assert set(UNSPOKEN) < set(names)
    for name in [UNSPOKEN[0], names[3], *names[40:58], names[99]]:
        (folder / "data" / name).write_bytes(b"broken")
    (folder / "data" / names[70]).unlink()
    rename_texts(folder / "data" / "test_metadata.csv", UNSPOKEN, "?!")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (60 * 44100, 2))
    soundfile.write(folder / "data" / names[0], noise, 44100)  # the first block is not the first to be read
    speak_references(folder / "tts_data", SAID, VoiceOptions())
    voice, entries = read_identity(folder / "tts_data"), []
    for name, weight in MODELS.items():
        path = folder / "assets" / f"{name}_0.pth"
        save_checkpoint(path, replace(trained_checkpoint(encoder_dir, name), voice=voice, n_folds=1))
        entries.append(ModelEntry(name, weight, [f"assets/{path.name}"], [0], [sha256_of_file(path)], 4.0, 4))
    correction = made_correction(list(MODELS), pd.read_csv(folder / "data" / "test_metadata.csv", dtype=str))
    write_config(
        folder / "model_configs.pkl",
        EnsembleConfig(1, voice, "data", priors(), entries, correction=correction),
    )
    infer(folder, "--num_workers", 0, "--output", "plain.csv")
    return folder


def rename_texts(metadata: Path, filenames: Sequence[str], text: str) -> None:
    table = pd.read_csv(metadata, dtype=str)
    table.loc[table["filename"].isin(filenames), "expected_text"] = text
    table.to_csv(metadata, index=False)


def infer(folder: Path, *arguments: object) -> None:
    with starting_infer(folder) as start:
        assert start(*arguments).wait(300) == 0, output(folder)


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """As a user would, but with small chunks."""
    with starting_infer(folder) as start:
        yield start


def starting_infer(folder: Path) -> AbstractContextManager[Start]:
    return starting(folder, ["-c", SMALL], {**PROMPT, "PYTHONPATH": str(ROOT)})


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster whose head computes nothing, and two nodes."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in PROMPT.items():
            environment.setenv(name, value)
        with ray_cluster() as cluster:
            for _ in range(2):
                add_node(cluster)
            yield cluster


@pytest.fixture
def hold(folder: Path) -> Iterator[Path]:
    """The tasks that score wait while there is this file, unless it names one of their clips."""
    file = folder / "hold"
    yield file
    file.unlink(missing_ok=True)


def scorers(*selection: str) -> set[int]:
    """Processes of Ray that score clips, among those that these options of `ps` select."""
    listed = subprocess.run(["ps", *selection, "-o", "pid,args"], capture_output=True, text=True, check=False).stdout
    return {int(line.split()[0]) for line in listed.splitlines() if "ray::score_clips" in line}


def scorers_of(*nodes: Any) -> set[int]:
    raylets = [str(started.process.pid) for node in nodes for started in node.all_processes["raylet"]]
    return scorers("--ppid", ",".join(raylets))


def assert_same(folder: Path, found: str) -> None:
    for end in ("", ".problems.csv"):
        assert (folder / f"{found}{end}").read_bytes() == (folder / f"plain.csv{end}").read_bytes()


def test_the_same_bytes_as_without_ray(cluster: Any, folder: Path) -> None:
    """With clips that can't be read, some filling a whole block, several chunks, and models that read three forms."""
    infer(folder, "--ray", cluster.address, "--cpus_per_task", 1, "--output", "ray.csv")
    assert "24 clips could not be read" in output(folder)
    listed = [reason for *_, reason in read_reasons(folder / "plain.csv.problems.csv")]
    assert (
        len([reason for reason in listed if "only the first" in reason]) == 1
    )  # that of a minute, which has its score
    assert len(listed) == 24 + 1
    assert_same(folder, "ray.csv")


def test_self_corrections_count_alike(cluster: Any, folder: Path) -> None:
    """Of clips of several tasks; what is told of them is the same, too."""
    shutil.copytree(folder / "data", folder / "again")
    names = [name for name, _ in read_rows(folder / "data" / "submission_format.csv")[1:]]
    begun_again = names[120:400:9]
    for place, name in enumerate(begun_again):
        soundfile.write(folder / "again" / name, tones(300 + 20 * place, 500, seconds=0.6 + 0.01 * place), 16_000)
    asked = ("--data_dir", "again", "--accept_self_corrections")
    infer(folder, *asked, "--num_workers", 0, "--output", "here.csv")
    assert f"{len(begun_again)} answers count from where they were begun again" in output(folder)
    infer(folder, *asked, "--ray", cluster.address, "--cpus_per_task", 1, "--output", "there.csv")
    for end in ("", ".problems.csv"):
        assert (folder / f"there.csv{end}").read_bytes() == (folder / f"here.csv{end}").read_bytes()


def test_a_lost_process_and_a_lost_node_cost_nothing(cluster: Any, folder: Path, start: Start, hold: Path) -> None:
    """In mid-run all processes that score are killed, then one of the nodes where others have taken their place."""
    hold.write_text(read_rows(folder / "data" / "submission_format.csv")[1][0])
    process = start("--ray", cluster.address, "--cpus_per_task", 1, "--output", "killed.csv")
    wait_for(lambda: re.search(r"scoring: +[1-9]", output(folder)), folder)
    lost, kept = cluster.worker_nodes
    wait_for(lambda: len(scorers_of(lost, kept)) == 2, folder)
    first = scorers_of(lost, kept)
    for pid in first:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(scorers_of(lost, kept) - first) == 2, folder)
    cluster.remove_node(lost, allow_graceful=False)
    new = add_node(cluster)
    wait_for(lambda: scorers_of(new), folder)
    assert process.poll() is None, output(folder)
    hold.unlink()
    assert process.wait(300) == 0, output(folder)
    assert_same(folder, "killed.csv")


def test_strict_writes_nothing(cluster: Any, folder: Path, start: Start) -> None:
    """And one line says why, without Ray's reports. All texts can be spoken here, so that it is a node that finds a clip."""
    shutil.copytree(folder / "data", folder / "spoken")
    rename_texts(folder / "spoken" / "test_metadata.csv", UNSPOKEN, "old")
    options = ("--data_dir", "spoken", "--strict", "--output", "strict.csv")
    assert start("--ray", cluster.address, "--cpus_per_task", 1, *options).wait(300) == 1
    last = output(folder).strip().splitlines()[-1]
    assert last.startswith("error: --strict: 22 clips can't be scored, the first: spoken/test")
    assert "Traceback" not in output(folder)
    assert not list(folder.glob("strict.csv*"))


def test_ctrl_c_leaves_nothing_running(folder: Path, start: Start, hold: Path) -> None:
    """Without an address Ray is started here, and ends with the run."""
    pytest.importorskip("ray", reason="Ray is not installed")
    hold.touch()
    process = start("--ray", "--cpus_per_task", 1, "--output", "stopped.csv")
    wait_for(lambda: scorers("-s", str(process.pid)), folder)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(300) == 130, output(folder)
    assert output(folder).rstrip().endswith("interrupted")
    wait_for(lambda: not session(process.pid), folder)
    assert not list(folder.glob("stopped.csv*"))


@pytest.mark.parametrize("missing", ["model2s_0.pth", "other checkpoint", "test_metadata.csv", "other data"])
def test_a_node_that_lacks_something_names_it(missing: str, work: Path) -> None:
    """Its own name, and the path."""
    checkpoint, metadata = work / "assets" / "model2s_0.pth", work / "data" / "test_metadata.csv"
    config = work / "model_configs.pkl"
    same = {str(path): sha256_of_file(path) for path in (config, metadata)}
    node = NodeOptions(work / "data", Path("data"), EnsembleSource(config), same, None, "cpu", "fp32", 1)
    path = metadata if "data" in missing else checkpoint
    path.write_bytes(b"another") if missing.startswith("other") else path.unlink()
    table = read_metadata(work / "data" / "train_metadata.csv").iloc[:2]
    silence = dict.fromkeys(utterances(table), np.zeros(1600, np.float32))
    error = score_clips(node, table, silence).error
    assert error is not None
    assert error.startswith(f"on node {os.uname().nodename}: {path}: ")


class DyingRay:
    """Every task dies with its process."""

    class exceptions:
        RayError = type("RayError", (Exception,), {})
        RayTaskError = type("RayTaskError", (RayError,), {})

    def __init__(self) -> None:
        self.begun = 0

    def remote(self, **_: object) -> Callable[..., SimpleNamespace]:
        return lambda work: SimpleNamespace(remote=self.begin)

    def begin(self, *_: object) -> int:
        self.begun += 1
        return self.begun

    def wait(self, handles: list[int], timeout: float) -> tuple[list[int], list[int]]:
        return handles[:1], handles[1:]

    def get(self, handle: int) -> object:
        raise self.exceptions.RayError("out of memory")

    def cancel(self, handle: int, force: bool) -> None: ...


def test_a_chunk_that_kills_every_process_is_given_up() -> None:
    ray, needs = DyingRay(), {"CPU": 1, "GPU": 0, "memory": 0}
    with pytest.raises(InputError, match=r"have died.*out of memory"):
        ClipCluster(ray, None, needs).check(["a.wav"])  # type: ignore[arg-type]
    assert ray.begun == MOST_TRIES


def test_what_dies_is_done_again_and_what_raises_is_not() -> None:
    """The first task's process dies twice, the second's raises, the third's ends."""
    ray, cancelled = DyingRay(), list[int]()
    outcomes: dict[str, list[object]] = {
        "dies": [ray.exceptions.RayError(), ray.exceptions.RayError(), "done"],
        "raises": [ray.exceptions.RayTaskError()],
        "ends": ["done"],
    }
    handles = dict[int, str]()

    def begin(name: str) -> int:
        handles[ray.begun] = name
        ray.begun += 1
        return ray.begun - 1

    def get(handle: int) -> object:
        outcome = outcomes[handles[handle]].pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    ray.begin, ray.get, ray.cancel = begin, get, lambda handle, force: cancelled.append(handle)  # type: ignore[assignment,method-assign]
    shares, needs = [(name,) for name in outcomes], {"CPU": 1, "GPU": 0, "memory": 0}
    found = dict(run_tasks(ray, print, shares, needs, "task"))
    assert (found[0], type(found[1]), found[2]) == ("done", ray.exceptions.RayTaskError, "done")
    assert ray.begun == 5
    outcomes["ends"] = ["done"]
    outcomes["dies"] = ["done"]
    some = run_tasks(ray, print, [("ends",), ("dies",)], needs, "task")
    next(some)
    some.close()
    assert cancelled == [6]  # what still runs when nobody waits any more


def test_tasks_are_told_given_pronunciations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without them they would look for references that nobody has spoken."""
    columns = ["filename", "task", "expected_text", "grade", "pronunciation"]
    table = pd.DataFrame(
        [("a.wav", "blending", "bow", "1", "B AW"), ("b.wav", "blending", "cat", "1", "")], columns=columns
    )
    told: list[pd.DataFrame] = []

    def run(self: ClipCluster, work: object, shares: Sequence[tuple[pd.DataFrame, object]], *_: object) -> list[Any]:
        told.extend(rows for rows, _ in shares)
        return [(0.5, 0.0)] * len(table)

    monkeypatch.setattr(ClipCluster, "_run", run)
    monkeypatch.setattr("models.cluster.clips.alive_nodes", lambda ray: [{"CPU": 1.0}])
    monkeypatch.setattr("models.cluster.clips.chunk_clips", lambda members: 16)
    ray = SimpleNamespace(put=lambda references: references)
    found = ClipCluster(ray, None, {"CPU": 1}).score([], table, {})  # type: ignore[arg-type]
    assert [said for rows in told for said in utterances(rows)] == utterances(table)
    assert (found.scores.tolist(), found.starts.tolist()) == ([0.5, 0.5], [0.0, 0.0])


def test_a_task_takes_whole_chunks_few_enough_to_keep_all_places_busy() -> None:
    for clips in (1, 688, 10**5, 10**7):
        for places in (1, 3, 40):
            share = share_clips(clips, 688, places)
            assert share in [688 * chunks for chunks in range(1, MOST_CHUNKS + 1)]
            assert share == 688 or -(-clips // share) >= 4 * places
    assert share_clips(10**7, 688, 40) == 688 * MOST_CHUNKS


def test_how_many_tasks_the_nodes_hold_at_once() -> None:
    small, large = {"CPU": 2.0, "memory": 8.0}, {"CPU": 16.0, "GPU": 4.0, "memory": 64.0}
    assert count_places([small, large], {"CPU": 3, "GPU": 0.0, "memory": 0.0}) == 5
    assert count_places([small, large], {"CPU": 1, "GPU": 0.5, "memory": 0.0}) == 8


def test_without_ray_there_is_a_way_out(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed: any import fails
    refused(SCRIPT, "--ray", mentions=("ray", "pip install"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--gpus_per_task", 0], "--gpus_per_task"),
        (["--cpus_per_task", 3], "--cpus_per_task"),
        (["--ray", "--num_workers", default_workers() + 1], "--num_workers"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    options: list[object], named: str, refused: Callable[..., str]
) -> None:
    refused(SCRIPT, *options, mentions=(f"{named}: ",))


def test_nothing_imports_ray_unless_it_is_asked_for() -> None:
    code = "import sys, infer; sys.exit('ray' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
