"""Verifiers that tell phones -> the same ones, whose scores rest on these phones, too."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from tqdm import tqdm

from models.base.cli import make_parser, run
from models.base.compute import resolve_device
from models.clips.dataset import ComparisonDataset
from models.clips.groups import TASKS
from models.clips.tables import read_training_table
from models.ensemble import Checkpoint, gather_blend, load_checkpoint, save_checkpoint
from models.ensemble.metrics import Values, log_loss, sigmoid
from models.ensemble.rebuild import rebuild_network
from models.errors import InputError
from models.inference.scoring import Member
from models.network.build import network_settings
from models.network.comparison import half_weights
from models.network.phone_evidence import N_EVIDENCE, PhoneEvidence
from models.network.verifier import VerifierNetwork

BATCH_CLIPS = 16
STRENGTH = 1.0  # of the regression's penalty, as scikit-learn has it: the larger, the freer
SENTENCES = len(TASKS) - 1  # the place of the task whose answers are sentences; the others' share their slopes


@dataclass(frozen=True)
class HeldOutColumns:
    """Of the clips that a fold held out, in its order.

    Attributes
    ----------
    columns : [shape=(clips, 1 + N_EVIDENCE)]
        The verifier's own logit, and the columns of `evidence_columns`.
    tasks, labels : [shape=(clips,)]
    """

    columns: Values
    tasks: np.ndarray
    labels: Values


def parse_arguments() -> argparse.Namespace:
    parser = make_parser(
        "Weigh what verifiers say with how the phones of the expected text fit the answer: a logistic regression by task on the "
        "clips that the folds held out. Each fold gets weights that were fitted on the others' clips, so its predictions for "
        "its own stay honest, and those are made anew. The verifiers must tell phones (tools/teach_phones.py). Texts are read by "
        "espeak-ng, which scoring then needs too.",
        "python tools/weigh_phones.py taught/verify*.pth --whole mean/verifytiny_0.pth --data_dir speech/all --output_dir new",
    )
    parser.add_argument("checkpoints", nargs="+", type=Path, help="all folds of one verifier")
    parser.add_argument(
        "--whole",
        type=Path,
        help="a network of all folds (tools/average_folds.py, then taught), which gets weights of all clips; written as "
        "whole/<model>_0.pth",
    )
    parser.add_argument(
        "--data_dir", type=Path, default=Path("data"), help="folder with the training data (default: %(default)s)"
    )
    parser.add_argument("--output_dir", type=Path, required=True, help="where the same file names are written")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    return parser.parse_args()


def read_evidence(checkpoint: Checkpoint, table: pd.DataFrame, data_dir: Path, device: torch.device) -> HeldOutColumns:
    """What a fold makes of the clips that it held out; table: of the training data, by file name."""
    network = telling_network(checkpoint, device)
    if missing := [name for name in checkpoint.oof.filenames if name not in table.index]:
        raise InputError(
            f"{data_dir}: lacks {len(missing)} of the clips that {checkpoint.file_name} held out, such as {missing[0]}; give the "
            "--data_dir of the training"
        )
    rows = table.loc[checkpoint.oof.filenames].reset_index(drop=True)
    form = {**Member(checkpoint, BATCH_CLIPS, 1.0).features, "phones": True}
    data = ComparisonDataset(rows, data_dir, {}, **form)
    clips = [data[row] for row in tqdm(range(len(rows)), checkpoint.file_name, unit=" clips", disable=None)]
    order = sorted(range(len(clips)), key=lambda row: clips[row]["response"].shape[1])
    columns = np.empty((len(clips), 1 + N_EVIDENCE))
    for start in range(0, len(order), BATCH_CLIPS):
        asked = order[start : start + BATCH_CLIPS]
        batch = {name: tensor.to(device) for name, tensor in data.collate([clips[row] for row in asked]).items()}
        columns[asked] = evidence_of(network, batch).double().cpu().numpy()
    tasks = rows["task"].map(TASKS.index).to_numpy()
    return HeldOutColumns(columns, tasks, rows["score"].to_numpy(float))


@torch.inference_mode()
def evidence_of(network: VerifierNetwork, batch: dict[str, Tensor]) -> Tensor:
    """The columns of `HeldOutColumns`."""
    heard, mask = network.hear(batch["response"], batch["response_frames"])
    answers, judged = network.judge(heard, mask, batch["tokens"], batch["token_counts"])
    logits = network.answer(network.pooling(answers, judged), batch["scalars"], None)["logits"]
    return torch.column_stack([logits, network.phone_columns(heard, mask, batch["readings"])])


def check_tells_phones(checkpoint: Checkpoint) -> None:
    """That it is a verifier with a classifier of phones; its settings say so, no network is built."""
    if checkpoint.recipe.layout != "text" or not checkpoint.encoder.get("phone_classes"):
        raise InputError(f"{checkpoint.file_name}: no verifier that tells phones; teach it: tools/teach_phones.py")


def telling_network(checkpoint: Checkpoint, device: torch.device | str = "cpu") -> VerifierNetwork:
    """Of a checkpoint that `check_tells_phones` lets pass."""
    network = rebuild_network(checkpoint, device)
    assert isinstance(network, VerifierNetwork)
    return network


def fit_weights(evidence: Sequence[HeldOutColumns]) -> tuple[Values, Values]:
    """Weights [shape=(tasks, 1 + N_EVIDENCE)] and biases [shape=(tasks,)].

    Slopes are those of all clips, and what sentences and single words add to them; each task has an intercept. All are shrunk,
    and rounded as a checkpoint does.
    """
    columns = np.concatenate([one.columns for one in evidence])
    tasks, labels = (np.concatenate([getattr(one, name) for one in evidence]) for name in ("tasks", "labels"))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=5000))
    model.fit(_design(columns, tasks), labels)
    corners = np.concatenate([np.zeros((1, columns.shape[1])), np.eye(columns.shape[1])])
    of_tasks = [model.decision_function(_design(corners, np.full(len(corners), task))) for task in range(len(TASKS))]
    biases = np.array([values[0] for values in of_tasks])
    weights = np.stack([values[1:] for values in of_tasks]) - biases[:, None]
    return weights.astype(np.float16).astype(float), biases.astype(np.float16).astype(float)


def _design(columns: Values, tasks: np.ndarray) -> Values:
    sentence = (tasks == SENTENCES)[:, None]
    of_tasks = (tasks[:, None] == np.arange(len(TASKS))).astype(float)
    return np.hstack([columns, columns * sentence, columns * ~sentence, of_tasks])


def weighed(checkpoint: Checkpoint, weights: Values, biases: Values) -> Checkpoint:
    """The checkpoint with these weights."""
    network = telling_network(checkpoint)
    network.phone_evidence = PhoneEvidence(len(TASKS))
    layer = network.phone_evidence.weigh
    for parameter, values in ((layer.weight, weights), (layer.bias, biases)):
        parameter.data = torch.from_numpy(values).float()
    return replace(checkpoint, weights=half_weights(network), encoder=network_settings(network))


def with_predictions(checkpoint: Checkpoint, evidence: HeldOutColumns, weights: Values, biases: Values) -> Checkpoint:
    logits = (evidence.columns * weights[evidence.tasks]).sum(axis=1) + biases[evidence.tasks]
    return replace(checkpoint, oof=replace(checkpoint.oof, predictions=sigmoid(logits)))


def main() -> None:
    arguments = parse_arguments()
    folds = [load_checkpoint(path) for path in arguments.checkpoints]
    gather_blend(folds)
    whole = None if arguments.whole is None else load_checkpoint(arguments.whole)
    for checkpoint in (*folds, *([] if whole is None else [whole])):
        check_tells_phones(checkpoint)
    paths = [arguments.output_dir / fold.file_name for fold in folds]
    if there := [path for path in paths if path.exists()]:
        raise InputError(f"{there[0]}: already there; give another --output_dir")
    device = resolve_device(arguments.device)
    table = read_training_table(arguments.data_dir).set_index("filename", drop=False)
    evidence = [read_evidence(fold, table, arguments.data_dir, device) for fold in folds]
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    written = []
    for place, (path, fold) in enumerate(zip(paths, folds, strict=True)):
        fitted = fit_weights([one for other, one in enumerate(evidence) if other != place])
        written.append(with_predictions(weighed(fold, *fitted), evidence[place], *fitted))
        save_checkpoint(path, written[-1])
    labels = np.concatenate([one.labels for one in evidence])
    before, after = (np.concatenate([fold.oof.predictions for fold in each]) for each in (folds, written))
    print(
        f"held-out log loss over {len(labels)} clips: {log_loss(labels, before):.4f}, with phones {log_loss(labels, after):.4f}"
    )
    if whole is not None:
        predicted = dict(zip((name for fold in written for name in fold.oof.filenames), after.tolist(), strict=True))
        known = replace(whole.oof, predictions=np.array([predicted[name] for name in whole.oof.filenames]))
        path = arguments.output_dir / "whole" / whole.file_name
        path.parent.mkdir(exist_ok=True)
        save_checkpoint(path, replace(weighed(whole, *fit_weights(evidence)), oof=known))
    print(f"wrote {arguments.output_dir}")


if __name__ == "__main__":
    run(main)
