"""Products of matrices in one thread. Run: python -m pytest tests/base/test_blas.py"""

from threadpoolctl import threadpool_info, threadpool_limits

from models.base.blas import one_blas_thread


def threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_one_thread_within_and_as_many_as_before_after() -> None:
    with threadpool_limits(2, "blas"):
        with one_blas_thread():
            assert threads() == {1}
        assert threads() == {2}


def test_also_around_a_function() -> None:
    with threadpool_limits(2, "blas"):
        assert one_blas_thread()(threads)() == {1}
        assert threads() == {2}
