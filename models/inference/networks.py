"""Networks that are ready to score."""

import threading

import torch

from models.base.compute import HALF_TYPES
from models.ensemble.checkpoint import Checkpoint
from models.ensemble.rebuild import rebuild_network
from models.network.comparison import ComparisonNetwork

KEPT_BYTES = (
    4_000_000_000  # of networks that stay in memory; an ensemble of sixty of whisper-medium's size is far larger
)


def ready_network(checkpoint: Checkpoint, device: torch.device, precision: str) -> ComparisonNetwork:
    """Built from a checkpoint, in the number format that it computes in."""
    network = rebuild_network(checkpoint, device)
    if precision != "fp32":
        network.lower_precision(HALF_TYPES[precision])
    return network


class KeptNetworks:
    """Builds each checkpoint's network when it is first asked for, and keeps it while all that are kept are small enough.

    Building takes as long as scoring an answer does: who is asked again and again builds once. Networks beyond `most_bytes` are
    built anew each time, so that memory does not grow with the ensemble.
    """

    def __init__(self, device: torch.device, precision: str, most_bytes: int = KEPT_BYTES) -> None:
        self._device, self._precision, self._left = device, precision, most_bytes
        self._kept: dict[
            int, tuple[Checkpoint, ComparisonNetwork]
        ] = {}  # the checkpoint too, or its id could be another's
        self._building = threading.Lock()

    def __call__(self, checkpoint: Checkpoint) -> ComparisonNetwork:
        with self._building:
            if id(checkpoint) in self._kept:
                return self._kept[id(checkpoint)][1]
            network = ready_network(checkpoint, self._device, self._precision)
            n_bytes = _bytes_of(network)
            if n_bytes <= self._left:
                self._left -= n_bytes
                self._kept[id(checkpoint)] = (checkpoint, network)
            return network


def _bytes_of(network: ComparisonNetwork) -> int:
    tensors = [*network.parameters(), *network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
