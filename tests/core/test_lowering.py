"""The platform that a program is lowered for decides whether it has the work-arounds for XLA's CPU compiler.

All programs are lowered on this machine, nothing is patched, and nothing is run.
"""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from sequences import slow_unless

import rnnjax

pytestmark = pytest.mark.slow

STEPS, BATCH, INPUTS, FEATURES = 500, 32, 3, 128  # so many steps that a CPU works in chunks of them
CELLS = {cell.__name__: cell(FEATURES) for cell in (rnnjax.SimpleRNN, rnnjax.LSTM, rnnjax.GRU)}
ACCELERATORS = ("tpu", "cuda")
MINUS_INFINITY = "0xFF800000"  # as StableHLO writes it in float32
SOURCES = sorted((Path(__file__).parents[2] / "rnnjax").rglob("*.py"))


def forward(cell):
    def run(params, xs, taps, lengths):
        return rnnjax.unroll(cell, params, xs, lengths=lengths, taps=taps)

    return run


def gradient(cell):
    """With respect to parameters, inputs and taps, of a loss of all outputs."""

    def loss(params, xs, taps, lengths):
        final, states = forward(cell)(params, xs, taps, lengths)
        return sum(jnp.sum(jnp.sin(a)) for a in jax.tree.leaves((final, states)))

    return jax.grad(loss, (0, 1, 2))


PROGRAMS = {"forward": forward, "gradient": gradient}
LOOPS = {"forward": 1, "gradient": 2}  # of a program without chunks: one along time, and one back


def traced(name, program, steps=STEPS, ragged=True):
    cell = CELLS[name]
    params = jax.eval_shape(lambda: cell.init(jax.random.key(0), INPUTS))
    xs = jax.ShapeDtypeStruct((steps, BATCH, INPUTS), jnp.float32)
    taps = jax.eval_shape(lambda: cell.initial_state((steps, BATCH)))
    lengths = jax.ShapeDtypeStruct((BATCH,), jnp.int32) if ragged else None
    return jax.jit(PROGRAMS[program](cell)).trace(params, xs, taps, lengths)


def lowered(name, program, platform, steps=STEPS, ragged=True):
    """The StableHLO text of a program."""
    return traced(name, program, steps, ragged).lower(lowering_platforms=(platform,)).as_text()


def count_loops(text):
    return len(re.findall(r"\bstablehlo\.while\b", text))


def loop_carries(text):
    """The types of all arrays that the first loop of a program carries, loop constants among them."""
    line = next(line for line in text.splitlines() if "stablehlo.while" in line)
    return re.findall(r"tensor<[^>]*>", line)


def barriers(name, program):
    """How many an accelerator's program has: one for each product of rows, of which additive cells have one."""
    return {"forward": 0, "gradient": 1 if CELLS[name].additive else 2}[program]


@pytest.mark.parametrize("platform", ACCELERATORS)
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", CELLS)
def test_an_accelerator_has_a_loop_for_each_direction_and_no_work_around(name, program, platform):
    text = lowered(name, program, platform, ragged=False)
    assert count_loops(text) == LOOPS[program]
    assert MINUS_INFINITY not in text
    assert text.count("optimization_barrier") == barriers(name, program)
    assert text != lowered(name, program, "cpu", ragged=False)


@pytest.mark.parametrize("platform", ACCELERATORS)
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", CELLS)
def test_of_ragged_examples_an_accelerator_has_chunks_to_stop_early(name, program, platform):
    text = lowered(name, program, platform)
    assert count_loops(text) == 2 * LOOPS[program]
    assert MINUS_INFINITY not in text
    assert text.count("optimization_barrier") == barriers(name, program)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", CELLS)
def test_a_cpu_has_chunks_of_steps_and_the_work_arounds(name, program):
    text = lowered(name, program, "cpu")
    assert count_loops(text) == 2 * LOOPS[program]  # over chunks, and over the steps of a chunk
    assert MINUS_INFINITY in text
    if program == "gradient":
        assert "optimization_barrier" in text


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", CELLS)
def test_a_cpu_has_no_chunks_where_all_steps_fit_into_its_cache(name, program):
    text = lowered(name, program, "cpu", steps=8)
    assert count_loops(text) == LOOPS[program]
    assert MINUS_INFINITY in text


@pytest.mark.parametrize("platform", ACCELERATORS)
@pytest.mark.parametrize("name", CELLS)
def test_an_accelerator_does_not_carry_the_gates_of_a_step(name, platform):
    """A CPU carries them so that XLA computes them in loops of their own."""
    cell = CELLS[name]
    gates = f"tensor<{BATCH}x{len(cell.gates) * FEATURES}xf32>"
    states = len(cell.State._fields) if len(cell.gates) == 1 else 0  # with one gate, a state has the same shape
    assert loop_carries(lowered(name, "forward", platform)).count(gates) == states
    assert loop_carries(lowered(name, "forward", "cpu")).count(gates) > states


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", CELLS)
def test_one_trace_is_lowered_for_each_platform_in_any_order(name, program):
    """Neither the platform that was lowered first nor the default platform of the machine decides."""
    trace = traced(name, program)
    texts = {p: trace.lower(lowering_platforms=(p,)).as_text() for p in ("tpu", "cpu", "cuda")}
    assert texts == {p: lowered(name, program, p) for p in texts}
    assert trace.lower().as_text() == texts[jax.default_backend()]


@pytest.mark.parametrize("platform", ACCELERATORS)
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", [slow_unless(name == "GRU", name) for name in CELLS])
def test_every_product_has_the_precision_of_jax(name, program, platform):
    """Also the products of a backward pass of our own, and whatever was traced before."""
    for precision in ("default", "high", "highest", "default"):
        with jax.default_matmul_precision(precision):
            text = lowered(name, program, platform, ragged=False)
        products = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
        assert len(products) >= (2 if program == "forward" else 5)
        named = precision.upper()
        assert [line for line in products if f"precision = [{named}, {named}]" not in line] == []


def test_the_default_backend_is_read_in_at_most_one_file():
    files = [path.name for path in SOURCES if "default_backend" in path.read_text(encoding="utf-8")]
    assert len(SOURCES) > 50
    assert len(files) <= 1, files
