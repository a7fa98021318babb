"""Keeping the QR decompositions of many small matrices on one thread.

JAX on the CPU hands them to SciPy's OpenBLAS, whose threads wait for each other by spinning: on a machine with other
work a decomposition of 128 × 128 numbers took from 40 to 800 ms with two threads and under 2 ms with one. JAX's own
matrix products do not go through it and keep all cores.
"""

import contextlib

import scipy.linalg  # noqa: F401 – loads the library, or there would be nothing to limit yet
import threadpoolctl


def one_blas_thread() -> contextlib.AbstractContextManager[object]:
    """A context in which BLAS and LAPACK use one thread; whoever computes in it must also wait for the result in it."""
    return threadpoolctl.threadpool_limits(limits=1, user_api="blas")
