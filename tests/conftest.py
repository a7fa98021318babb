"""Set-up for every test: eight CPU devices; implicit rank promotion and warnings raise errors.

XLA compiles with few optimizations, here and in the processes that tests start, unless the environment sets these
variables: most programs of the tests take longer to compile than to run.
"""

import os
import signal
from importlib.metadata import version

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
        monkeypatch.setattr(fused, "chunk_length", lambda cell, xs: min(steps, len(xs)))

    return set_length
