"""QR decompositions of many small matrices, on one thread.

On the CPU, JAX computes them with SciPy's OpenBLAS, whose threads wait for each other by spinning. On a busy machine
the decomposition of a 128 × 128 matrix took 40 to 800 ms with two threads, and less than 2 ms with one. Matrix products
of JAX do not use OpenBLAS and keep all cores.
"""

import contextlib

import scipy.linalg  # noqa: F401 – loads the library whose threads are limited
import threadpoolctl


def one_blas_thread() -> contextlib.AbstractContextManager[object]:
    """A context in which BLAS and LAPACK use one thread; results must also be waited for inside it."""
    return threadpoolctl.threadpool_limits(limits=1, user_api="blas")
