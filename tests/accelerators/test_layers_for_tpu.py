"""Each cell, forward and backward with taps, compiled for one TPU v5e; skipped where libtpu is not installed."""

import pytest

from benchmarks.cases import Case
from benchmarks.layer_programs import layer_program
from rnnjax.sharding.ahead_of_time import compile_for_device, memory_use
from rnnjax.sharding.compiled_text import host_calls, loops

pytestmark = pytest.mark.slow
STEPS, BATCH, FEATURES = 500, 32, 128


@pytest.mark.parametrize("reads", ["last", "all"])
@pytest.mark.parametrize("what", ["gradient", "gradient, norm taps", "gradient, taps"])
@pytest.mark.parametrize("cell", ["simple", "lstm", "gru"])
def test_a_layer_is_one_loop_forward_and_one_back_in_the_memory_that_it_needs(cell, what, reads, target):
    case = Case(cell, BATCH, STEPS, FEATURES)
    program = layer_program("rnnjax", case, what, reads)
    compiled = compile_for_device(program.function, program.arguments, target("v5e").devices()[0])
    text = compiled.as_text()
    assert ["transpose(" in loop.text for loop in loops(text)] == [False, True]
    assert host_calls(text) == []
    assert "f64[" not in text
    states = 4 * STEPS * BATCH * FEATURES  # bytes of h of all steps
    assert memory_use(compiled).total < 20 * states
