"""How the Trainer is set up for a job: its arguments, and the fold's clips in their order."""

import functools
import os
from collections.abc import Sequence

import numpy as np
import torch
from transformers import EvalPrediction, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from models.base.compute import resolve_precision
from models.base.processes import all_processes, possible_processes, refuse_other_launchers
from models.clips.dataset import ComparisonDataset, EpochShuffle
from models.clips.features import frames_for_seconds
from models.ensemble.metrics import figures, sigmoid
from models.errors import InputError
from models.network.comparison import ComparisonNetwork
from models.speech.references import References
from models.training.job import TrainingJob
from models.training.trainer import (
    Collapse,
    CollapseWatch,
    EpochReport,
    FoldTrainer,
    QuietProgress,
    ReleaseMemory,
    SaveWithinEpochs,
    logging_steps,
)

PROCESSES_APART = 1_000_003  # between their seeds of dropout: more than any seed of a try


def training_arguments(job: TrainingJob, device: torch.device) -> TrainingArguments:
    """What the Trainer is told; the seed is that of the first try.

    Raises
    ------
    InputError
        Where a batch can't be split evenly over the processes, or the environment speaks of another launcher than torchrun.
    """
    refuse_other_launchers()
    recipe, precision = job.recipe, resolve_precision(job.options.precision, device)
    os.environ["ACCELERATE_MIXED_PRECISION"] = "no"  # what a launcher has left; else float32 would be what that says
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(job.run_dir / "tensorboard")
    clips_at_once = _clips_at_once(job)
    holds_out = len(job.validation) > 0
    arguments = TrainingArguments(
        output_dir=str(job.run_dir),
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=clips_at_once,
        per_device_eval_batch_size=clips_at_once,
        gradient_accumulation_steps=job.options.gradient_accumulation_steps,
        max_grad_norm=recipe.max_grad_norm,
        seed=recipe.seed + job.fold,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=device.type == "cpu",
        dataloader_num_workers=possible_processes(job.options.num_workers),
        dataloader_drop_last=False,  # it would drop held-out clips too; of training, the sampler draws whole batches alone
        dataloader_pin_memory=device.type == "cuda",
        accelerator_config={"non_blocking": device.type == "cuda"},  # batches are copied while the GPU computes
        eval_strategy="epoch" if holds_out else "no",
        save_strategy="epoch",
        save_total_limit=1,  # and the best one, if that is another
        load_best_model_at_end=holds_out,  # else the last, which the folds have found to be best
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


def _clips_at_once(job: TrainingJob) -> int:
    """A batch's share for each process and accumulation step."""
    world_size, steps = all_processes(), job.options.gradient_accumulation_steps
    share, rest = divmod(job.recipe.batch_size, world_size * steps)
    if rest:
        raise InputError(
            f"--batch_size {job.recipe.batch_size}: can't be split evenly over {world_size} processes × {steps} "
            "accumulation steps"
        )
    return share


def make_trainer(
    job: TrainingJob,
    arguments: TrainingArguments,
    network: ComparisonNetwork,
    references: References,
    clip_seconds: Sequence[float],
) -> FoldTrainer:
    """The Trainer of one try.

    Parameters
    ----------
    clip_seconds
        Of each training clip, with its reference, as far as it is read.
    """
    recipe = job.recipe
    train, validation = _datasets(job, arguments.seed, network, references)
    if arguments.dataloader_num_workers:
        train.share_epoch()
    order = EpochShuffle(clip_seconds, recipe.batch_size, arguments.seed)
    trainer = FoldTrainer(
        recipe,
        order,
        job.options.cuda_graphs,
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


def _datasets(
    job: TrainingJob, seed: int, network: ComparisonNetwork, references: References
) -> tuple[ComparisonDataset, ComparisonDataset]:
    """Of the training and of the held-out clips; where none is held out, of some training clips as they are."""
    recipe = job.recipe
    make_dataset = functools.partial(
        ComparisonDataset,
        data_dir=job.options.data_dir,
        references=references.load(job.utterances),
        n_mels=network.encoder.config.num_mel_bins,
        max_frames=frames_for_seconds(recipe.max_seconds),
        seed=seed,
        layout=recipe.layout,
        padding=recipe.padding,
        tokenizer=network.tokenizer,
    )
    train = make_dataset(
        job.train, augment=recipe.augment, drawn_texts=recipe.drawn_texts, joined_answers=recipe.joined_answers
    )
    return train, make_dataset(job.checked)


def _validation_figures(prediction: EvalPrediction) -> dict[str, float]:
    logits = np.asarray(prediction.predictions, dtype=np.float64).reshape(-1)
    if not np.isfinite(logits).all():
        raise Collapse("the network's output was not finite any more")
    scores = figures(np.asarray(prediction.label_ids, dtype=np.float64), sigmoid(logits))
    return {"log_loss": scores.log_loss, "auc": scores.auc, "accuracy": scores.accuracy}
