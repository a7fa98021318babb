"""The programs of experiments, compiled for NVIDIA GPUs; run by ``nox -s cuda``, skipped without JAX's CUDA plugin.

All of them are compiled for a T4, Colab's free GPU, and a few for an A100 and an H200.
"""

import pytest

from benchmarks.experiment_programs import COMMANDS, PROGRAMS
from rnnjax.sharding.compiled_text import collectives

pytestmark = pytest.mark.accelerators


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_program_compiles_for_a_t4(command, name, compiled_program):
    text, _ = compiled_program("T4", command, name)
    assert collectives(text) == []


@pytest.mark.parametrize("name", ["train", "measure"])
@pytest.mark.parametrize("command", ["recall --cells gru", "imdb --cells lstm"])
@pytest.mark.parametrize("device", ["A100", "H200"])
def test_a_program_compiles_for_a_larger_gpu(device, command, name, compiled_program):
    compiled_program(device, command, name)
