"""Training one fold with the Hugging Face Trainer: prepare → fit → finish.

Mixed precision, gradient accumulation, clipping of unscaled gradients, resuming, TensorBoard and DDP are the Trainer's;
what is set here is what the recipes ask for: optimiser, schedule, order of the clips, and what is kept.
"""

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor
from transformers import TrainingArguments, set_seed

from models.base.compute import resolve_device
from models.base.files import sole_writer
from models.base.processes import first_decides, wait_for_all
from models.clips.left_out import left_out_checksum
from models.ensemble.checkpoint import Checkpoint, OutOfFold, save_checkpoint
from models.ensemble.metrics import Values, log_loss, sigmoid
from models.errors import InputError
from models.network.build import network_settings
from models.network.comparison import ComparisonNetwork, half_weights, load_weights
from models.network.pretrained import pretrained_network
from models.speech.references import References
from models.training.graphs import check_recordable
from models.training.job import TrainingJob
from models.training.lengths import input_seconds
from models.training.run_state import (
    Try,
    forget_states,
    last_state,
    past_tries,
    prepare_run_dir,
    trained_with,
    write_tries,
)
from models.training.setup import make_trainer, training_arguments
from models.training.trainer import SEEDS_APART, Collapse, EpochReport, FoldTrainer, check_learnt

FIRST_CLIPS = 64  # that a network may look at before it is trained


@dataclass(frozen=True)
class ReadyFold:
    """What `prepare` has found: all that can go wrong in the input has not.

    Attributes
    ----------
    job
        With its held-out clips in order of length.
    network
        At the start of the first try.
    clip_seconds
        Of each training clip, with its reference, as far as it is read.
    tries
        Earlier runs of the very same job that collapsed.
    """

    job: TrainingJob
    arguments: TrainingArguments
    network: ComparisonNetwork
    references: References
    clip_seconds: Sequence[float]
    tries: list[Try]

    @property
    def is_first_process(self) -> bool:
        return bool(self.arguments.process_index == 0)


@dataclass(frozen=True)
class FittedFold:
    """What `fit` has learnt.

    Attributes
    ----------
    weights
        In float16, as they are saved.
    encoder
        Of `network_settings`.
    predictions
        Probabilities by these weights: float64 [shape=(held-out clips,)].
    """

    weights: dict[str, Tensor]
    encoder: dict[str, Any]
    predictions: Values
    history: list[dict[str, float]]
    tries: list[Try]


def train_fold(job: TrainingJob, restart: bool = False) -> Path:
    """Train, keep the epoch with the lowest validation log loss, write the checkpoint; a run that was cut off goes on.

    A run that collapses is begun again with another seed, `max_tries` times in all.

    Parameters
    ----------
    restart
        Forget what an earlier, unfinished run left.

    Returns
    -------
    Path
        The checkpoint's.
    """
    ready = prepare(job, restart)
    if job.options.corrections is not None and ready.is_first_process:
        print(f"{job.options.corrections}: {job.corrections.in_words()}", flush=True)
    if job.left_out and ready.is_first_process:
        print(f"{job.options.leave_out}: {len(job.left_out)} clips are not trained on", flush=True)
    with _sole_run(ready, restart):
        finish(ready, fit(ready))
    return job.checkpoint_path


def prepare(job: TrainingJob, restart: bool) -> ReadyFold:
    """Read and check everything that training needs, before anything is written."""
    arguments = training_arguments(job, resolve_device(job.options.device))
    if job.options.cuda_graphs:
        check_recordable(job.recipe, arguments)
    if arguments.use_cpu:  # several threads would add up the gradients of a shared reference in any order
        torch.use_deterministic_algorithms(True)
    references = References(job.options.tts_dir)
    spoken = references.load(job.utterances)
    seconds = first_decides(lambda: input_seconds(job, spoken))
    clip_seconds, held_out_seconds = seconds[: len(job.train)], seconds[len(job.train) :]
    alike_together = np.argsort(held_out_seconds, kind="stable")
    job = replace(job, validation=job.validation.iloc[alike_together])
    tries = first_decides(lambda: past_tries(job, references, restart))
    network = _fresh_network(job, arguments, tries)
    if tokenizer := network.tokenizer:
        for text in {*job.train["expected_text"], *job.validation["expected_text"]}:
            tokenizer.encode(text)  # raises where it can't be fed
    return ReadyFold(job, arguments, network, references, clip_seconds, tries)


def fit(ready: ReadyFold) -> FittedFold:
    """Train until a run has learnt something.

    Raises
    ------
    InputError
        Where the last try collapses too.
    """
    network, tries = ready.network, ready.tries
    while True:
        try:
            return _fit_once(ready, network, tries)
        except Collapse as collapse:
            tries = _note_collapse(ready, tries, collapse)
        network = _fresh_network(ready.job, ready.arguments, tries)


def finish(ready: ReadyFold, fitted: FittedFold) -> None:
    """Write the checkpoint; the run's states are not needed any more."""
    if not ready.is_first_process:
        return
    job, table = ready.job, ready.job.validation
    checkpoint = Checkpoint(
        recipe=job.recipe,
        fold=job.fold,
        n_folds=job.options.n_folds,
        weights=fitted.weights,
        encoder=fitted.encoder,
        oof=job.of_folds
        or OutOfFold(
            filenames=table["filename"].tolist(),
            tasks=table["task"].tolist(),
            grades=table["grade"].tolist(),
            labels=table["score"].to_numpy(np.float64),
            predictions=fitted.predictions,
        ),
        voice=ready.references.voice,
        data_fingerprint=job.data_fingerprint,
        options=dict(job.options.given),
        history=fitted.history,
        versions={
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
        },
        tries=fitted.tries,
        references={} if job.recipe.layout == "text" else trained_with(job.run_dir),  # a verifier hears none
        grouping=job.grouping,
        word_labels=job.word_labels,
        corrections=job.corrections.checksum,
        left_out=left_out_checksum(job.left_out),
    )
    save_checkpoint(job.checkpoint_path, checkpoint)
    forget_states(job.run_dir)
    print(f"wrote {job.checkpoint_path}")


@contextmanager
def _sole_run(ready: ReadyFold, restart: bool) -> Iterator[None]:
    """No other run of this fold meanwhile, on a folder that holds nothing but what this job has left there."""
    if not ready.is_first_process:
        yield
        return
    with sole_writer(ready.job.run_dir):
        prepare_run_dir(ready.job, ready.references, restart)
        yield


def _fresh_network(job: TrainingJob, arguments: TrainingArguments, tries: list[Try]) -> ComparisonNetwork:
    """The network at the start of the next try, whose seed the arguments are given."""
    arguments.seed = job.recipe.seed + job.fold + SEEDS_APART * len(tries)
    set_seed(arguments.seed)
    return pretrained_network(job.recipe)


def _fit_once(ready: ReadyFold, network: ComparisonNetwork, tries: list[Try]) -> FittedFold:
    """One try. Raises Collapse, unless it is the last one and all that is wrong is that it ended at the prior."""
    job = ready.job
    trainer = make_trainer(job, ready.arguments, network, ready.references, ready.clip_seconds)
    state = first_decides(lambda: last_state(job.run_dir))
    if state is None:
        first = trainer.train_dataset
        network.start_from(first.collate([first[row] for row in range(min(len(first), FIRST_CLIPS))]))
    trainer.train(resume_from_checkpoint=state)
    train_labels, labels = (table["score"].to_numpy(np.float64) for table in (job.train, job.checked))
    try:
        check_learnt(_learnt_loss(trainer, labels), train_labels, labels)
    except Collapse as collapse:
        if len(tries) + 1 < job.options.max_tries:
            raise
        tries = _with_collapse(ready, tries, collapse)
    weights = half_weights(network)
    load_weights(network, weights)
    predictions = _predict(trainer) if len(job.validation) else np.zeros(0)
    return FittedFold(weights, network_settings(network), predictions, EpochReport.history(trainer.state), tries)


def _learnt_loss(trainer: FoldTrainer, labels: Values) -> float:
    """The lowest log loss of held-out clips; where none is held out, that of some training clips."""
    if trainer.state.best_metric is not None:
        return float(trainer.state.best_metric)
    return log_loss(labels, _predict(trainer))


def _predict(trainer: FoldTrainer) -> Values:
    """Probabilities of the held-out clips, or of what stands for them."""
    logits = trainer.predict(trainer.eval_dataset).predictions
    return sigmoid(np.asarray(logits, dtype=np.float64).reshape(-1))


def _note_collapse(ready: ReadyFold, tries: list[Try], collapse: Collapse) -> list[Try]:
    """The tries with the one that collapsed, which leaves nothing else behind. Raises InputError where there may be no other."""
    job, tries = ready.job, _with_collapse(ready, tries, collapse)
    if ready.is_first_process:
        forget_states(job.run_dir)
        write_tries(job.run_dir, tries[: job.options.max_tries - 1])
    wait_for_all()  # no process goes on before the states are gone
    if len(tries) >= job.options.max_tries:
        raise InputError(
            f"{job.name}: did not learn in {len(tries)} tries, the last one: {tries[-1]['outcome']}; "
            "try a lower --learning_rate, another --seed or --precision fp32"
        ) from collapse
    return tries


def _with_collapse(ready: ReadyFold, tries: list[Try], collapse: Collapse) -> list[Try]:
    """Also tells of it."""
    job, seed = ready.job, ready.arguments.seed
    tries = [*tries, {"seed": seed, "outcome": str(collapse)}]
    if ready.is_first_process:
        print(f"{job.name}, try {len(tries)} of {job.options.max_tries}, seed {seed}: {collapse}", flush=True)
    return tries
