"""Compilers for devices that are not here: libtpu is told so, and XLA optimizes as it does outside of tests."""

import os
import time

import jax
import pytest

from benchmarks.experiment_programs import programs_for
from rnnjax.errors import UserError
from rnnjax.sharding.ahead_of_time import memory_use
from rnnjax.sharding.compiled_text import host_calls, reused_arguments
from rnnjax.sharding.targets import NO_TPU_HERE, TARGETS

MOST_OF_MEMORY = 0.5  # of a device, so that there is room for what JAX and the next batch need

os.environ.update(NO_TPU_HERE)  # read when libtpu is loaded


@pytest.fixture
def target(optimized):
    """``target(name)``; the test is skipped where the compiler for these devices is not installed."""

    def find(name):
        try:
            TARGETS[name].devices()
        except UserError as error:
            pytest.skip(str(error))
        return TARGETS[name]

    return find


@pytest.fixture
def compiled_program(target, record_property):
    """``compiled_program(device, command, name, **execution)``: (text, all programs of the command).

    The program is compiled, what must hold of every program on every device is checked, and time and memory are
    recorded, for ``matrix.py``.
    """

    def compile_and_check(device, command, name, **execution):
        devices = target(device)
        programs, began = programs_for(devices, command, **execution), time.perf_counter()
        compiled = programs.compile(name)
        seconds, memory, text = time.perf_counter() - began, memory_use(compiled), compiled.as_text()
        assert memory.total < MOST_OF_MEMORY * devices.memory_bytes
        assert "f64[" not in text
        assert host_calls(text) == []
        state = programs.specs.train.arguments[2]
        assert reused_arguments(text) == (len(jax.tree.leaves(state)) if name == "train" else 0)
        layout = execution["execution"].parallel if execution else "jit"
        for key, value in {"device": device, "command": command, "program": name, "layout": layout}.items():
            record_property(key, value)
        for key, value in {"seconds": seconds, **memory._asdict()}.items():
            record_property(key, value)
        return text, programs

    return compile_and_check
