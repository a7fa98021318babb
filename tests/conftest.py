"""Set-up for every test: eight CPU devices; implicit rank promotion and warnings raise errors.

XLA compiles with few optimizations, here and in the processes that tests start, unless the environment sets these
variables: most programs of the tests take longer to compile than to run.
"""

import contextlib
import ctypes
import os
import signal
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_parallel_codegen_split_count=1"
    # jaxlib 0.11.1 removed this flag, and XLA aborts at a flag that it does not know
    + " --xla_cpu_use_fusion_emitters=false" * ((jaxlib := [*map(int, version("jaxlib").split(".")[:3])]) < [0, 11, 1])
    # jaxlib before 0.8 aborts at bfloat16 products of three or four rows on processors with instructions for bfloat16
    + " --xla_cpu_max_isa=AVX2" * (jaxlib < [0, 8]),
)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before OpenBLAS is loaded: see rnnjax/runtime/blas.py
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
import pytest

from rnnjax.core import fused

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell makes its background processes ignore SIGINT
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.devices()  # starts the backend, after which the number of devices is fixed


MOST_MEMORY = 2 << 30  # bytes


def resident_bytes():
    """The memory of this process, where Linux tells it."""
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


@pytest.fixture(scope="module", autouse=True)
def bounded_memory():
    """Compiled programs, of which the files of tests share few, are dropped after a file when they have become many."""
    yield
    if resident_bytes() > MOST_MEMORY:
        jax.clear_caches()
        with contextlib.suppress(AttributeError):  # of the GNU C library
            ctypes.CDLL(None).malloc_trim(0)


@pytest.fixture
def optimized():
    """XLA's default optimizations during one test, for training and for tests of rounding or of compiled programs."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def x64():
    """Double precision during one test."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def set_chunk_length(monkeypatch):
    """``set_chunk_length(steps)``: the fused scan then works in chunks of that many steps, also on short sequences."""

    def set_length(steps):
        monkeypatch.setattr(fused, "chunk_length", lambda cell, xs, ragged: min(steps, len(xs)))

    return set_length
