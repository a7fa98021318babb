"""``unroll`` on drawn shapes, lengths and dtypes: fused and autodiff are equal to each other and to a loop of steps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sequences import CELLS, FEATURES, INPUTS, assert_close, normal_like, total

import rnnjax

DTYPES = {
    "float64": ({}, 1e-13),
    "float32": ({"param_dtype": jnp.float32}, 1e-5),
    "bfloat16": ({"dtype": jnp.bfloat16}, 0.1),
}
OPTIONS = {"plain": {}, "zoneout": {"zoneout": 0.3}, "segments": {}}


class Case(NamedTuple):
    cell: rnnjax.Cell
    steps: int
    batch_shape: tuple[int, ...]
    lengths: np.ndarray | None
    reverse: bool
    store_every: int | None
    tolerance: float
    seed: int


@st.composite
def cases(draw):
    """A cell, the shape of a batch, and the options of ``unroll``."""
    dtype, tolerance = DTYPES[draw(st.sampled_from(sorted(DTYPES)))]
    option = draw(st.sampled_from(sorted(OPTIONS)))
    cell = CELLS[draw(st.sampled_from(sorted(CELLS)))].replace(**dtype, **OPTIONS[option])
    steps = draw(st.sampled_from((1, 3)))
    batch_shape = draw(st.sampled_from(((), (3,), (2, 1), (1, 2, 1))))
    ragged = st.lists(st.integers(0, steps), min_size=6, max_size=6)
    lengths = np.array(draw(ragged))[: int(np.prod(batch_shape))].reshape(batch_shape) if draw(st.booleans()) else None
    store_every = 2 if option == "segments" else None
    return Case(cell, steps, batch_shape, lengths, draw(st.booleans()), store_every, tolerance, draw(st.integers(0, 9)))


def loop(case, params, xs, state):
    """The definition: ``cell.step`` from step to step; steps past an example's end keep the state."""
    states, order = {}, range(case.steps)
    for t in reversed(order) if case.reverse else order:
        new, _ = case.cell.step(params, state, xs[t])
        if case.lengths is not None:
            valid = (t < case.lengths)[..., None]
            new = jax.tree.map(lambda a, b, valid=valid: jnp.where(valid, a, b), new, state)
        states[t] = state = new
    return state, jax.tree.map(lambda *a: jnp.stack(a), *[states[t] for t in order])


@pytest.mark.slow
@settings(max_examples=15)
@given(case=cases())
def test_fused_and_autodiff_equal_each_other_and_a_loop_of_steps(x64, case):
    cell, shape = case.cell, (case.steps, *case.batch_shape, INPUTS)
    like = jax.eval_shape(lambda: cell.init(jax.random.key(0), INPUTS)), jax.ShapeDtypeStruct(shape, cell.state_dtype)
    params, xs, state = normal_like((*like, cell.initial_state(case.batch_shape)), case.seed, 0.5)

    def unrolled(backward):
        def run(params, xs, state):
            return rnnjax.unroll(
                cell, params, xs, state, lengths=case.lengths, reverse=case.reverse, backward=backward,
                store_every=case.store_every,
            )  # fmt: skip

        return run

    def outputs_and_gradients(run):
        def loss(*arguments):
            outputs = run(*arguments)
            return total(outputs), outputs

        gradients, outputs = jax.grad(loss, (0, 1, 2), has_aux=True)(params, xs, state)
        return outputs, gradients

    @jax.jit
    def results():
        return *map(outputs_and_gradients, (unrolled("fused"), unrolled("autodiff"))), loop(case, params, xs, state)

    fused, autodiff, by_hand = results()
    assert_close(fused, autodiff, case.tolerance)
    assert_close(fused[0], by_hand, case.tolerance)
    final, states = fused[0]
    assert final.h.shape == (*case.batch_shape, FEATURES)
    assert states.h.shape == (case.steps, *case.batch_shape, FEATURES)
    assert all(a.dtype == cell.state_dtype for a in (*final, *states))
