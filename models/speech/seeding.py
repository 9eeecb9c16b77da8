"""Voices that draw random numbers say the same on every run."""

import contextlib
import hashlib
from collections.abc import Iterator

import numpy as np


def text_seed(text: str) -> int:
    """A seed for voices that draw random numbers, from the text alone: 32 bits."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


@contextlib.contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """Seed the global generators of PyTorch and NumPy, from which voices draw, and compute in one thread: the order of
    additions, and with it the last bit, depends on the number of threads. Afterwards all is as it was."""
    import torch

    threads, numpy_state = torch.get_num_threads(), np.random.get_state()  # noqa: NPY002 - voices use these
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_num_threads(threads)
