"""Training one fold with the Hugging Face Trainer.

Mixed precision, gradient accumulation, clipping of unscaled gradients, resuming, TensorBoard and DDP are the Trainer's;
what is set here is what the recipes ask for: optimiser, schedule, order of the clips, and what is kept.
"""

import functools
import os
import platform
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import EvalPrediction, TrainingArguments, set_seed
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from models.base.compute import resolve_device, resolve_precision
from models.base.files import sole_writer
from models.base.processes import first_decides, wait_for_all
from models.clips.dataset import ComparisonDataset, EpochShuffle
from models.clips.features import frames_for_seconds
from models.clips.tables import clip_paths
from models.ensemble.checkpoint import Checkpoint, OutOfFold, save_checkpoint
from models.ensemble.metrics import figures, sigmoid
from models.errors import InputError
from models.network.build import network_settings, pretrained_network
from models.network.comparison import ComparisonNetwork, half_weights, load_weights
from models.speech.audio import SAMPLE_RATE_HZ, Waveform, check_audio_files
from models.speech.references import load_references, read_identity
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

PROCESSES_APART = 1_000_003  # between their seeds of dropout: more than any seed of a try
SHORTEST_RESPONSE_SECONDS = 0.5  # what must be left of the input after the longest reference


def train_fold(job: TrainingJob, restart: bool = False) -> Path:
    """Train, keep the epoch with the lowest validation log loss, write the checkpoint; a run that was cut off goes on.

    A run that collapses is begun again with another seed, `job.max_tries` times in all.

    restart : forget what an earlier, unfinished run left
    returns : the checkpoint's path
    """
    arguments = _training_arguments(job, resolve_device(job.device))
    if arguments.use_cpu:  # several threads would add up the gradients of a shared reference in any order
        torch.use_deterministic_algorithms(True)
    references = load_references(job.tts_dir, job.texts)
    seconds = first_decides(lambda: _joined_seconds(job, references))
    clip_seconds, held_out_seconds = seconds[: len(job.train)], seconds[len(job.train) :]
    job = replace(job, validation=job.validation.iloc[np.argsort(held_out_seconds, kind="stable")])  # alike together
    tries = first_decides(lambda: past_tries(job, restart))
    network = _fresh_network(job, arguments, tries)  # before anything is written: the weights may not be there
    with sole_writer(job.run_dir) if arguments.process_index == 0 else nullcontext():
        if arguments.process_index == 0:
            prepare_run_dir(job, restart)
        while True:
            try:
                return _train_once(job, arguments, network, references, clip_seconds, tries)
            except Collapse as collapse:
                tries = _note_collapse(job, arguments, tries, collapse)
            network = _fresh_network(job, arguments, tries)


def _fresh_network(job: TrainingJob, arguments: TrainingArguments, tries: list[Try]) -> ComparisonNetwork:
    """The network at the start of the next try, whose seed the arguments are given."""
    arguments.seed = job.recipe.seed + job.fold + SEEDS_APART * len(tries)
    set_seed(arguments.seed)
    return pretrained_network(job.recipe)


def _note_collapse(job: TrainingJob, arguments: TrainingArguments, tries: list[Try], collapse: Collapse) -> list[Try]:
    """The tries with the one that collapsed, which leaves nothing else behind.

    raises : InputError where there may be no other
    """
    tries = [*tries, {"seed": arguments.seed, "outcome": str(collapse)}]
    if arguments.process_index == 0:
        _report_try(job, tries)
        forget_states(job.run_dir)
        write_tries(job.run_dir, tries[: job.max_tries - 1])
    wait_for_all()  # no process goes on before the states are gone
    if len(tries) >= job.max_tries:
        raise InputError(_what_to_do(job, tries)) from collapse
    return tries


def _train_once(
    job: TrainingJob,
    arguments: TrainingArguments,
    network: ComparisonNetwork,
    references: Mapping[str, Waveform],
    clip_seconds: Sequence[float],
    tries: list[Try],
) -> Path:
    """raises : Collapse, unless it is the last try and all that is wrong is that it ended at the prior"""
    recipe = job.recipe
    make_dataset = functools.partial(
        ComparisonDataset,
        data_dir=job.data_dir,
        references=references,
        n_mels=network.encoder.config.num_mel_bins,
        max_frames=frames_for_seconds(recipe.max_seconds),
        seed=arguments.seed,
        layout=recipe.layout,
        padding=recipe.padding,
    )
    train, validation = make_dataset(job.train, augment=recipe.augment), make_dataset(job.validation)
    trainer = _make_trainer(job, network, train, validation, clip_seconds, arguments)
    trainer.train(resume_from_checkpoint=first_decides(lambda: last_state(job.run_dir)))
    labels = (table["score"].to_numpy(np.float64) for table in (job.train, job.validation))
    try:
        check_learnt(float(trainer.state.best_metric), *labels)
    except Collapse as collapse:
        if len(tries) + 1 < job.max_tries:
            raise
        tries = [*tries, {"seed": arguments.seed, "outcome": str(collapse)}]
        if arguments.process_index == 0:
            _report_try(job, tries)
    return _finish(job, trainer, network, validation, tries)


def _report_try(job: TrainingJob, tries: list[Try]) -> None:
    print(
        f"{job.checkpoint_path.stem}, try {len(tries)} of {job.max_tries}, seed {tries[-1]['seed']}: "
        f"{tries[-1]['outcome']}",
        flush=True,
    )


def _what_to_do(job: TrainingJob, tries: list[Try]) -> str:
    return (
        f"{job.checkpoint_path.stem}: did not learn in {len(tries)} tries, the last one: {tries[-1]['outcome']}; "
        "try a lower --learning_rate, another --seed or --precision fp32"
    )


def _make_trainer(
    job: TrainingJob,
    network: ComparisonNetwork,
    train: ComparisonDataset,
    validation: ComparisonDataset,
    clip_seconds: Sequence[float],
    arguments: TrainingArguments,
) -> FoldTrainer:
    order = EpochShuffle(clip_seconds, job.recipe.batch_size, arguments.seed)
    trainer = FoldTrainer(
        job.recipe,
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
    precision = resolve_precision(job.precision, device)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(job.run_dir / "tensorboard")
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    parts = job.gradient_accumulation_steps * world_size
    if recipe.batch_size % parts:
        raise InputError(
            f"--batch_size {recipe.batch_size}: can't be split evenly over {world_size} processes × "
            f"{job.gradient_accumulation_steps} accumulation steps"
        )
    arguments = TrainingArguments(
        output_dir=str(job.run_dir),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size // parts,
        per_device_eval_batch_size=recipe.batch_size // parts,
        gradient_accumulation_steps=job.gradient_accumulation_steps,
        max_grad_norm=recipe.max_grad_norm,
        seed=recipe.seed + job.fold,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=device.type == "cpu",
        dataloader_num_workers=job.num_workers,
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


def _joined_seconds(job: TrainingJob, references: Mapping[str, Waveform]) -> list[float]:
    """Length of each training and then of each validation clip with its reference, as far as it is read; says how many are cut.

    raises : InputError where a clip does not decode, or nothing of it would be heard after the longest reference
    """
    text, reference = max(references.items(), key=lambda item: len(item[1]))
    max_seconds, longest_seconds = job.recipe.max_seconds, len(reference) / SAMPLE_RATE_HZ
    if longest_seconds + SHORTEST_RESPONSE_SECONDS > max_seconds:
        raise InputError(
            f"--max_seconds {max_seconds:g}: the reference of {text!r} takes {longest_seconds:.1f} s of it and leaves the "
            "response no room; give more seconds, or speak faster references (preprocess.py --speed)"
        )
    filenames = [*job.train["filename"], *job.validation["filename"]]
    texts = [*job.train["expected_text"], *job.validation["expected_text"]]
    lengths = check_audio_files(clip_paths(job.data_dir, filenames))
    joined = [seconds + len(references[text]) / SAMPLE_RATE_HZ for seconds, text in zip(lengths, texts, strict=True)]
    cut = sum(seconds > max_seconds for seconds in joined)
    print(
        f"{job.recipe.name} fold {job.fold}: {len(job.train)} training and {len(job.validation)} validation clips, "
        f"{sum(lengths) / 3600:.2f} h; {cut} inputs are longer than {max_seconds:g} s and are cut"
    )
    return [min(seconds, max_seconds) for seconds in joined]


def _finish(
    job: TrainingJob,
    trainer: FoldTrainer,
    network: ComparisonNetwork,
    validation: ComparisonDataset,
    tries: list[Try],
) -> Path:
    """Predict the held-out clips with the weights as they are saved, in float16, and write the checkpoint."""
    weights = half_weights(network)
    load_weights(network, weights)
    logits = trainer.predict(validation).predictions
    if trainer.is_world_process_zero():
        checkpoint = Checkpoint(
            recipe=job.recipe,
            fold=job.fold,
            n_folds=job.n_folds,
            weights=weights,
            encoder=network_settings(network),
            oof=_out_of_fold(job, np.asarray(logits, dtype=np.float64).reshape(-1)),
            voice=read_identity(job.tts_dir),
            data_fingerprint=job.data_fingerprint,
            options=job.options,
            history=EpochReport.history(trainer.state),
            versions={
                "python": platform.python_version(),
                "torch": str(torch.__version__),
                "transformers": transformers.__version__,
            },
            tries=tries,
            references=trained_with(job.run_dir),
            grouping=job.grouping,
        )
        save_checkpoint(job.checkpoint_path, checkpoint)
        forget_states(job.run_dir)
        print(f"wrote {job.checkpoint_path}")
    return job.checkpoint_path


def _out_of_fold(job: TrainingJob, logits: np.ndarray[Any, Any]) -> OutOfFold:
    table = job.validation
    return OutOfFold(
        filenames=table["filename"].tolist(),
        tasks=table["task"].tolist(),
        grades=table["grade"].tolist(),
        labels=table["score"].to_numpy(np.float64),
        predictions=sigmoid(logits),
    )
