"""Strict set-up for every test: eight CPU devices, no silent rank promotion, warnings are errors.

Programs are compiled in the quickest way, here and in the processes that tests start, unless the environment says
otherwise: nearly all of them run for less time than they take to compile.
"""

import os
import signal
from importlib.metadata import version

os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_parallel_codegen_split_count=1"  # from 0.11.1 on, XLA stops at the other one, which it has dropped
    + " --xla_cpu_use_fusion_emitters=false" * ((jaxlib := [*map(int, version("jaxlib").split(".")[:3])]) < [0, 11, 1])
    # where a processor multiplies bfloat16 itself, it stops at some matrices of three or four rows
    + " --xla_cpu_max_isa=AVX2" * (jaxlib < [0, 8]),
)
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before it is loaded: see rnnjax/runtime/blas.py
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import jax
import pytest

from rnnjax.core import xla_cpu

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored by what it runs in the background
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.devices()  # now they are eight, whatever a test asks for


@pytest.fixture
def optimized():
    """Programs compiled as a user's are, for the length of one test: where it trains, or is about rounding."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture
def x64():
    """Double precision for the length of one test."""
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


@pytest.fixture
def two_steps_a_chunk(monkeypatch):
    """The fused scan works on two steps at a time, as it does on many where they are more than a cache holds."""
    monkeypatch.setattr(xla_cpu, "CACHE_BYTES", 0)
    monkeypatch.setattr(xla_cpu, "FEWEST_STEPS", 2)
