"""Forward and backward of a training step as one CUDA graph: the processor starts one thing instead of two thousand.

On a fast GPU a step mostly waits for its kernels to be started (docs/experiments.md has the figures). A graph is recorded for one
shape (CUDA graphs, torch's notes on CUDA semantics), so lengths are rounded up to a few.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import TrainingArguments

from models.errors import InputError
from models.network.comparison import ComparisonNetwork
from models.recipe import Recipe

BUCKET_FRAMES = 160  # lengths are rounded up to multiples: ten of 16 s
Batch = dict[str, Tensor]


class _Recorded(NamedTuple):
    graph: torch.cuda.CUDAGraph
    batch: Batch  # what the graph reads
    loss: Tensor  # and writes, beside the gradients


def check_recordable(recipe: Recipe, arguments: TrainingArguments) -> None:
    """Check that a step does the same for every batch of one shape, and all of its work by itself.

    So do joint networks that read both sides as one. Others cut each clip where its sides meet, or read texts of many lengths.

    Raises
    ------
    InputError
        Naming what is in the way.
    """
    obstacles = {
        f"{recipe.name} is not a joint model that reads both sides as one": recipe.layout != "joined",
        "there is no GPU": arguments.device.type != "cuda",
        "several GPUs share the batch": arguments.world_size > 1,
        "--gradient_accumulation_steps splits the batch": arguments.gradient_accumulation_steps > 1,
        "--precision fp16 scales the loss": arguments.fp16,
    }
    found = [text for text, is_there in obstacles.items() if is_there]
    if found:
        raise InputError(f"--cuda_graphs: not here, for {' and '.join(found)}; leave it out")


class GraphedSteps:
    """Called with a batch: its loss, and the gradients of this batch alone in each parameter's `grad`.

    Parameters
    ----------
    network
        On a GPU, in training mode.
    dtype
        Of its products, by autocast; None: float32.
    most_frames
        That a batch may have.

    Raises
    ------
    InputError
        Where layers are left out at random, which a graph would do in every step alike.
    """

    def __init__(self, network: ComparisonNetwork, dtype: torch.dtype | None, most_frames: int) -> None:
        if network.encoder.config.encoder_layerdrop:
            raise InputError("--cuda_graphs: not with an encoder whose layers are dropped at random; leave it out")
        self._network, self._dtype, self._most_frames = network, dtype, most_frames
        self._parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._gradients = [torch.zeros_like(parameter) for parameter in self._parameters]  # of all graphs
        self._recorded: dict[Any, _Recorded] = {}
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, batch: Batch) -> Tensor:
        batch = rounded_up(batch, self._most_frames)
        shapes = tuple((name, tuple(value.shape)) for name, value in batch.items())
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient  # which the optimiser's zero_grad takes away
        if shapes not in self._recorded:
            self._recorded[shapes] = self._record({name: value.clone() for name, value in batch.items()})
        recorded = self._recorded[shapes]
        for name, value in batch.items():
            recorded.batch[name].copy_(value)
        recorded.graph.replay()
        return recorded.loss.clone()

    def _record(self, batch: Batch) -> _Recorded:
        """Libraries get ready in a step before, which must not be recorded; what it draws is drawn again."""
        device = batch["log_mel"].device
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.random.fork_rng([device]), torch.cuda.stream(stream):
            self._forward_and_back(batch)
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # thread_local: the thread that pins batches for the next steps goes on
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            loss = self._forward_and_back(batch)
        return _Recorded(graph, batch, loss)

    def _forward_and_back(self, batch: Batch) -> Tensor:
        torch._foreach_zero_(self._gradients)
        with torch.autocast("cuda", self._dtype, enabled=self._dtype is not None, cache_enabled=False):
            loss: Tensor = self._network(**batch)["loss"]
        loss.backward()
        return loss.detach()


def rounded_up(batch: Batch, most_frames: int) -> Batch:
    """The same clips with zeros behind them, which have no effect: `log_mel` and `frames` as of `collate_joined`."""
    log_mel = batch["log_mel"]
    n_frames = log_mel.shape[2]
    wanted = min(-(-n_frames // BUCKET_FRAMES) * BUCKET_FRAMES, most_frames)
    if wanted <= n_frames:
        return batch
    frames = batch.get("frames", torch.full((len(log_mel),), n_frames, device=log_mel.device))
    return {**batch, "log_mel": nn.functional.pad(log_mel, (0, wanted - n_frames)), "frames": frames}
