"""Which process of how many this is, whatever other launchers have left in the environment.

Run: .venv/bin/python -m pytest tests/base/test_processes.py
"""

from collections.abc import Callable

import pytest
import torch
from fakes import TRAIN, Script, with_options

from models.base import compute, processes
from models.base.cli import default_workers
from models.training.job import TrainingJob
from models.training.setup import training_arguments

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "one",
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500",
}
STALE = [
    {"LOCAL_RANK": "0"},
    {"LOCAL_RANK": ""},
    {"LOCAL_RANK": "none"},
    {"WORLD_SIZE": "2"},
    {"WORLD_SIZE": "two"},
    {name: value for name, value in TORCHRUN.items() if name != "TORCHELASTIC_RUN_ID"},
    {name: value for name, value in TORCHRUN.items() if name != "MASTER_PORT"},
    {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_LOCAL_RANK": "0"},
    {"PMI_SIZE": "2", "PMI_RANK": "1"},
    {"MV2_COMM_WORLD_SIZE": "8"},
    {"ACCELERATE_USE_DEEPSPEED": "true"},
    {"ACCELERATE_USE_FSDP": "1"},
    {"ACCELERATE_USE_CPU": "True"},
    {"ACCELERATE_TORCH_DEVICE": "cuda:1"},
    {"ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"},
    {**TORCHRUN, "ACCELERATE_USE_MEGATRON_LM": "true"},
]
HARMLESS = [
    {},
    {"LOCAL_RANK": "-1"},
    {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "here", "MASTER_PORT": "1"},  # of a cluster's job of one machine
    {"RANK": "7", "LOCAL_WORLD_SIZE": "many", "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RUN_ID": "gone"},
    {"OMPI_COMM_WORLD_SIZE": "1", "PMI_RANK": "0"},
    {
        "ACCELERATE_DYNAMO_BACKEND": "NO",
        "ACCELERATE_USE_DEEPSPEED": "false",
        "ACCELERATE_USE_CPU": "False",
        "ACCELERATE_MIXED_PRECISION": "no",
    },
    TORCHRUN,
]
Surround = Callable[[dict[str, str]], None]


@pytest.fixture
def surround(monkeypatch: pytest.MonkeyPatch) -> Surround:
    return lambda variables: [monkeypatch.setenv(*pair) for pair in variables.items()]  # type: ignore[return-value]


@pytest.mark.parametrize("variables", STALE)
def test_training_names_a_variable_that_a_launcher_has_left(
    surround: Surround, refused: Callable[..., str], variables: dict[str, str]
) -> None:
    surround(variables)
    message = refused(TRAIN)
    assert any(name in message for name in variables)
    assert len(message.strip().splitlines()) == 1
    assert any(name in refused("train.py", "--models", "aligntiny") for name in variables)


@pytest.mark.parametrize("variables", HARMLESS)
def test_what_misleads_nobody_is_passed_over(surround: Surround, variables: dict[str, str]) -> None:
    surround(variables)
    processes.refuse_other_launchers()
    assert processes.under_torchrun() == (variables == TORCHRUN)


@pytest.mark.parametrize("variables", [*STALE[:-1], *HARMLESS[:-1]])
def test_without_torchrun_there_is_one_process(
    surround: Surround, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    alone = default_workers()
    surround(variables)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert processes.is_first_process()
    assert processes.first_to_fail()
    assert (processes.local_processes(), processes.all_processes()) == (1, 1)
    assert compute.resolve_device("auto").index == 0
    assert default_workers() == alone


def test_under_torchrun_it_tells(surround: Surround, monkeypatch: pytest.MonkeyPatch) -> None:
    surround(TORCHRUN)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert not processes.is_first_process()
    assert (processes.local_processes(), processes.all_processes()) == (2, 4)
    assert compute.resolve_device("auto").index == 1


@pytest.mark.slow
@pytest.mark.parametrize("variables", HARMLESS[:-1])
def test_a_fold_is_trained_among_harmless_variables(
    surround: Surround, script: Script, work: object, variables: dict[str, str]
) -> None:
    surround(variables)
    outcome = script(TRAIN, "--max_tries", 1)
    assert outcome.code == 0, outcome.error


@pytest.mark.parametrize("left", ["bf16", "fp8"])
def test_what_a_launcher_said_of_precision_counts_for_nothing(
    surround: Surround, make_job: Callable[..., TrainingJob], left: str
) -> None:
    """A run that is to compute in float32 would be autocast without a word."""
    surround({"ACCELERATE_MIXED_PRECISION": left})
    job = with_options(make_job(), precision="fp32", device="cpu")
    assert training_arguments(job, torch.device("cpu")).mixed_precision == "no"
