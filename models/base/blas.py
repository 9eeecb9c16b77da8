"""How many threads multiply matrices in numpy and scipy."""

from collections.abc import Iterator
from contextlib import contextmanager

import scipy.linalg  # noqa: F401 - brings a BLAS of its own, which can be limited only once it is there
from threadpoolctl import threadpool_limits


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """For many small products, also as a decorator: several threads wait for each other longer than they compute."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield
