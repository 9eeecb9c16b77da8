"""Training one fold with the Hugging Face Trainer: prepare → fit → finish.

Mixed precision, gradient accumulation, clipping of unscaled gradients, resuming, TensorBoard and DDP are the Trainer's;
what is set here is what the recipes ask for: optimiser, schedule, order of the clips, and what is kept.
"""

import functools
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor
from transformers import EvalPrediction, TrainingArguments, set_seed
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from models.base.compute import resolve_device, resolve_precision
from models.base.files import sole_writer
from models.base.processes import first_decides, wait_for_all
from models.clips.dataset import ComparisonDataset, EpochShuffle
from models.clips.features import frames_for_seconds
from models.clips.tables import clip_paths
from models.ensemble.checkpoint import Checkpoint, OutOfFold, save_checkpoint
from models.ensemble.metrics import Values, figures, sigmoid
from models.errors import InputError
from models.network.build import network_settings, pretrained_network
from models.network.comparison import ComparisonNetwork, half_weights, load_weights
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, check_audio_files
from models.speech.references import References
from models.training.job import TrainingJob
from models.training.run_state import (
    Try,
    forget_states,
    last_state,
    past_tries,
    prepare_run_dir,
    trained_with,
    write_tries,
)
from models.training.trainer import (
    SEEDS_APART,
    Collapse,
    CollapseWatch,
    EpochReport,
    FoldTrainer,
    QuietProgress,
    ReleaseMemory,
    SaveWithinEpochs,
    check_learnt,
    logging_steps,
)

FIRST_CLIPS = 64  # that a network may look at before it is trained
PROCESSES_APART = 1_000_003  # between their seeds of dropout: more than any seed of a try
SHORTEST_RESPONSE_SECONDS = 0.5  # what must be left of the input after the longest reference


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
    with _sole_run(ready, restart):
        finish(ready, fit(ready))
    return job.checkpoint_path


def prepare(job: TrainingJob, restart: bool) -> ReadyFold:
    """Read and check everything that training needs, before anything is written."""
    arguments = _training_arguments(job, resolve_device(job.options.device))
    if arguments.use_cpu:  # several threads would add up the gradients of a shared reference in any order
        torch.use_deterministic_algorithms(True)
    references = References(job.options.tts_dir)
    spoken = references.load(job.texts)
    seconds = first_decides(lambda: _input_seconds(job, spoken))
    clip_seconds, held_out_seconds = seconds[: len(job.train)], seconds[len(job.train) :]
    alike_together = np.argsort(held_out_seconds, kind="stable")
    job = replace(job, validation=job.validation.iloc[alike_together])
    tries = first_decides(lambda: past_tries(job, references, restart))
    network = _fresh_network(job, arguments, tries)
    if tokenizer := network.tokenizer:
        for text in job.texts:
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
        oof=OutOfFold(
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
        references=trained_with(job.run_dir),
        grouping=job.grouping,
        word_labels=job.word_labels,
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
    trainer = _make_trainer(ready, network)
    state = first_decides(lambda: last_state(job.run_dir))
    if state is None:
        first = trainer.train_dataset
        network.start_from(first.collate([first[row] for row in range(min(len(first), FIRST_CLIPS))]))
    trainer.train(resume_from_checkpoint=state)
    labels = (table["score"].to_numpy(np.float64) for table in (job.train, job.validation))
    try:
        check_learnt(float(trainer.state.best_metric), *labels)
    except Collapse as collapse:
        if len(tries) + 1 < job.options.max_tries:
            raise
        tries = _with_collapse(ready, tries, collapse)
    weights = half_weights(network)
    load_weights(network, weights)
    logits = trainer.predict(trainer.eval_dataset).predictions
    predictions = sigmoid(np.asarray(logits, dtype=np.float64).reshape(-1))
    return FittedFold(weights, network_settings(network), predictions, EpochReport.history(trainer.state), tries)


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


def _make_trainer(ready: ReadyFold, network: ComparisonNetwork) -> FoldTrainer:
    job, recipe, arguments = ready.job, ready.job.recipe, ready.arguments
    make_dataset = functools.partial(
        ComparisonDataset,
        data_dir=job.options.data_dir,
        references=ready.references.load(job.texts),
        n_mels=network.encoder.config.num_mel_bins,
        max_frames=frames_for_seconds(recipe.max_seconds),
        seed=arguments.seed,
        layout=recipe.layout,
        padding=recipe.padding,
        tokenizer=network.tokenizer,
    )
    train = make_dataset(job.train, augment=recipe.augment, drawn_texts=recipe.drawn_texts)
    validation = make_dataset(job.validation)
    order = EpochShuffle(ready.clip_seconds, recipe.batch_size, arguments.seed)
    trainer = FoldTrainer(
        recipe,
        order,
        model=network,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=train.collate,
        compute_metrics=_validation_figures,
        callbacks=[EpochReport(train, order), CollapseWatch(), SaveWithinEpochs(), ReleaseMemory()],
    )
    trainer.remove_callback(PrinterCallback)
    if trainer.pop_callback(ProgressCallback) is not None:
        trainer.add_callback(QuietProgress)
    if arguments.process_index:  # each process of several drops out by itself
        torch.manual_seed(arguments.seed + PROCESSES_APART * arguments.process_index)
    return trainer


def _training_arguments(job: TrainingJob, device: torch.device) -> TrainingArguments:
    recipe = job.recipe
    precision = resolve_precision(job.options.precision, device)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(job.run_dir / "tensorboard")
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    parts = job.options.gradient_accumulation_steps * world_size
    if recipe.batch_size % parts:
        raise InputError(
            f"--batch_size {recipe.batch_size}: can't be split evenly over {world_size} processes × "
            f"{job.options.gradient_accumulation_steps} accumulation steps"
        )
    arguments = TrainingArguments(
        output_dir=str(job.run_dir),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size // parts,
        per_device_eval_batch_size=recipe.batch_size // parts,
        gradient_accumulation_steps=job.options.gradient_accumulation_steps,
        max_grad_norm=recipe.max_grad_norm,
        seed=recipe.seed + job.fold,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=device.type == "cpu",
        dataloader_num_workers=job.options.num_workers,
        dataloader_drop_last=False,  # it would drop held-out clips too; of training, the sampler draws whole batches alone
        dataloader_pin_memory=device.type == "cuda",
        accelerator_config={"non_blocking": device.type == "cuda"},  # batches are copied while the GPU computes
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,  # and the best one, if that is another
        load_best_model_at_end=True,
        metric_for_best_model="log_loss",
        greater_is_better=False,
        logging_steps=logging_steps(len(job.train), recipe.batch_size),
        logging_nan_inf_filter=False,  # it would hide a loss that is not finite
        remove_unused_columns=False,
        label_names=["labels"],
        report_to="tensorboard",
        disable_tqdm=not os.isatty(2),
        ddp_find_unused_parameters=False,  # there are none
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several GPUs are used through torchrun, never by DataParallel
    return arguments


def _validation_figures(prediction: EvalPrediction) -> dict[str, float]:
    logits = np.asarray(prediction.predictions, dtype=np.float64).reshape(-1)
    if not np.isfinite(logits).all():
        raise Collapse("the network's output was not finite any more")
    scores = figures(np.asarray(prediction.label_ids, dtype=np.float64), sigmoid(logits))
    return {"log_loss": scores.log_loss, "auc": scores.auc, "accuracy": scores.accuracy}


def _input_seconds(job: TrainingJob, references: Mapping[str, Waveform]) -> list[float]:
    """Length of what is read of each training and then of each validation clip; says how many are cut.

    Raises InputError where a clip does not decode, or nothing of it would be heard after the longest reference.
    """
    spoken = {text: len(waveform) / SAMPLE_RATE_HZ for text, waveform in references.items()}
    if job.recipe.layout == "text":
        spoken = dict.fromkeys(spoken, 0.0)  # the text itself is read
    text, max_seconds = max(spoken, key=lambda text: spoken[text]), job.recipe.max_seconds
    if spoken[text] + SHORTEST_RESPONSE_SECONDS > max_seconds:
        raise InputError(
            f"--max_seconds {max_seconds:g}: the reference of {text!r} takes {spoken[text]:.1f} s of it and leaves the "
            "response no room; give more seconds, or speak faster references (preprocess.py --speed)"
        )
    filenames = [*job.train["filename"], *job.validation["filename"]]
    texts = [*job.train["expected_text"], *job.validation["expected_text"]]
    lengths = check_audio_files(clip_paths(job.options.data_dir, filenames))
    inputs = [seconds + spoken[text] for seconds, text in zip(lengths, texts, strict=True)]
    cut = sum(seconds > max_seconds for seconds in inputs)
    print(
        f"{job.recipe.name} fold {job.fold}: {len(job.train)} training and {len(job.validation)} validation clips, "
        f"{sum(lengths) / 3600:.2f} h; {cut} inputs are longer than {max_seconds:g} s and are cut"
    )
    return [min(seconds, max_seconds) for seconds in inputs]
