"""Cells of the family: plain scan, fused backward pass and the papers' equations in NumPy agree in float64."""

import jax
import numpy as np
import pytest
from family_cells import BATCH, CELLS, full_case, reference
from sequences import assert_close, fused_and_autodiff, make_inputs, make_params, make_state, slow_unless, total

import rnnjax
from rnnjax.core.taps import is_norm_tap, norm_taps

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "reverse", "chunk"),
    [
        slow_unless(reverse == (name not in ("IndRNN tanh", "CTRNN relu")), name, reverse, chunk)
        for name in CELLS
        for reverse, chunk in ((False, None), (True, 3))
    ],
)
def test_plain_scan_and_fused_pass_equal_the_equations(x64, set_chunk_length, name, reverse, chunk):
    """Outputs, final states and all gradients; with lengths, resets, taps, dropout of inputs, zoneout and noise."""
    if chunk:
        set_chunk_length(chunk)
    arguments, options, given = full_case(name, reverse)
    fused, plain = fused_and_autodiff(CELLS[name], arguments, options)
    expected = reference(name, arguments, *given)
    assert_close(plain, expected, 1e-12)
    assert_close(fused, expected, 1e-12)
    assert all(np.any(np.asarray(a) != 0) for a in jax.tree.leaves(fused))


@pytest.mark.parametrize(
    ("name", "backward"),
    [
        ("PeepholeLSTM", "fused"),
        ("IndRNN", "autodiff"),
        slow_unless(False, "PeepholeLSTM", "autodiff"),
        slow_unless(False, "IndRNN", "fused"),
        *(slow_unless(False, "MinLSTM", backward) for backward in ("fused", "autodiff")),
    ],
)
def test_norm_taps_get_the_norms_of_the_taps_gradients(x64, name, backward):
    arguments, options, _ = full_case(name)
    cell, zeros = CELLS[name], jax.tree.map(lambda a: 0 * a, arguments["taps"])

    @jax.jit
    def gradient(taps):
        return jax.grad(lambda t: total(rnnjax.unroll(cell, **arguments | {"taps": t}, **options, backward=backward)))(
            taps
        )

    norms = jax.tree.map(lambda tap: tap.norm[..., 0], gradient(norm_taps(zeros)), is_leaf=is_norm_tap)
    expected = jax.tree.map(lambda a: np.linalg.norm(a, axis=-1), gradient(zeros))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), norms, expected)


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_advances_as_it_remembers_and_reads_out(x64, name):
    """What a cell computes once for both is what it says of each, and its gates have a value for every unit."""
    cell = CELLS[name].replace(zoneout=0.3)
    own = make_params(cell).own
    last = () if own is None else (own,)
    z_x, z_h = make_inputs(cell, (BATCH,), steps=2, inputs=len(cell.gates) * cell.features)
    state, tap = make_state(cell, (BATCH,)), make_state(cell, (BATCH,), 9)
    m = cell.remember(z_x, z_h, state[-1], *last) + tap[-1]
    expected = cell.make_state(cell.readout(z_x, z_h, m, *last) + tap[0], m)
    assert_close(cell.advance(z_x, z_h, state[-1], *last, tap=tap), expected, 1e-15)
    assert cell.gate_values(z_x, z_h, state[-1], *last).shape == z_x.shape
