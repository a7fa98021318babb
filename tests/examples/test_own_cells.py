"""The custom cells of examples/ pass the tests of the built-in cells.

Through the public interface alone; the equations are written down once more, in NumPy.
"""

import ast
import functools
import inspect

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console
from sequences import (
    FEATURES,
    INPUTS,
    LENGTHS,
    STEPS,
    WIDE,
    assert_close,
    fused_and_autodiff,
    make_case,
    make_inputs,
    make_params,
    make_state,
    slow_unless,
    total,
)

import rnnjax
from examples.coupled_lstm import CoupledLSTM
from examples.minimal_gated_unit import MinimalGatedUnit
from examples.multiplicative_lstm import MultiplicativeLSTM
from rnnjax import diagnostics

pytestmark = pytest.mark.slow

CELLS = {"MinimalGatedUnit": MinimalGatedUnit(FEATURES, **WIDE), "CoupledLSTM": CoupledLSTM(FEATURES, **WIDE)}
ZONED = {name: cell.replace(zoneout=0.3) for name, cell in CELLS.items()}
NAMES = [slow_unless(name == "CoupledLSTM", name) for name in ZONED]
BATCH = len(LENGTHS)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def numpy_step(name, params, state, x_t):
    """(new state, weight of the old memory in the new one)."""
    z_x, z_h = x_t @ params.w_x + params.b, state[0] @ params.w_h
    if name == "MinimalGatedUnit":
        (f_x, n_x), (f_h, n_h) = np.split(z_x, 2, axis=-1), np.split(z_h, 2, axis=-1)
        f = sigmoid(f_x + f_h)
        return ((1 - f) * state[0] + f * np.tanh(n_x + f * n_h),), 1 - f
    f, g, o = np.split(z_x + z_h, 3, axis=-1)
    c = sigmoid(f) * state[1] + (1 - sigmoid(f)) * np.tanh(g)
    return (sigmoid(o) * np.tanh(c), c), sigmoid(f)


@pytest.mark.parametrize("cell_type", [MinimalGatedUnit, CoupledLSTM, MultiplicativeLSTM])
def test_it_is_short_and_needs_the_public_interface_alone(cell_type):
    module = inspect.getmodule(cell_type)
    assert len(inspect.getsource(cell_type).splitlines()) <= 30
    imports = [node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Import)]
    assert {alias.name for node in imports for alias in node.names} == {"dataclasses", "jax", "jax.numpy", "rnnjax"}
    assert cell_type(4) == cell_type(4) != cell_type(5)
    assert cell_type(4) in {cell_type(4)}


@pytest.mark.parametrize("name", CELLS)
def test_a_step_is_its_equations(x64, name):
    cell = CELLS[name]
    params, state, x_t = make_params(cell), make_state(cell, (BATCH,)), make_inputs(cell, (BATCH,))[0]
    new, h_t = cell.step(params, state, x_t)
    assert h_t is new.h
    assert_close(tuple(new), numpy_step(name, *jax.tree.map(np.asarray, (params, state, x_t)))[0], 1e-14)


def test_a_step_of_the_multiplicative_lstm_is_its_equations(x64):
    cell = MultiplicativeLSTM(FEATURES, forget_bias=0.5, **WIDE)
    params = cell.init(jax.random.key(0), INPUTS)
    drawn = [jax.random.normal(jax.random.key(i), (BATCH, size)) for i, size in enumerate((FEATURES, FEATURES, INPUTS))]
    new, h_t = cell.step(params, type(cell.initial_state())(*drawn[:2]), drawn[2])
    assert h_t is new.h
    params = jax.tree.map(np.asarray, params)
    h, c, x = map(np.asarray, drawn)
    n = (x @ params["w_nx"]) * (h @ params["w_nh"])
    i, f, g, o = np.split(x @ params["w_x"] + n @ params["w_n"] + params["b"], 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    assert_close(tuple(new), (sigmoid(o) * np.tanh(c), c), 1e-14)
    np.testing.assert_array_equal(params["b"], np.repeat([0, 0.5, 0, 0], FEATURES))


@pytest.mark.parametrize("name", ZONED)
def test_fused_is_autodiff(x64, name):
    """With lengths, a state, taps, and masks of both dropouts and of zoneout, backwards and in segments."""
    cell, options = ZONED[name], {"reverse": True, "store_every": 3}
    arguments, other = make_case(cell, (BATCH,), "lengths state taps dropout")
    assert other["dropout"].hold is not None
    fused, autodiff = fused_and_autodiff(cell, arguments, options | other)
    assert_close(fused, autodiff, 1e-12)
    assert all(np.any(a != 0) and a.dtype == jnp.float64 for a in jax.tree.leaves(fused))


@functools.cache
def measured(name):
    """All diagnostics of one pass, and the same quantities from ``cell.step`` and from taps alone."""
    cell, lengths = ZONED[name], jnp.array(LENGTHS)
    params, xs, start = make_params(cell), make_inputs(cell, (BATCH,)), make_state(cell, (BATCH,))

    def loss(states, final):
        return total((states, final))

    def of_taps(taps):
        final, states = rnnjax.unroll(cell, params, xs, start, lengths=lengths, taps=taps)
        return loss(states, final)

    def flat(state, x_t):
        after, _ = cell.step(params, cell.State(*jnp.split(state, len(cell.State._fields))), x_t)
        return jnp.concatenate(after)

    @jax.jit
    def run():
        steps = diagnostics.linearise(cell, params, xs, start, lengths=lengths)
        final = jax.tree.map(lambda a: a[-1], steps.states)
        ct_states, ct_final = jax.grad(loss, (0, 1))(steps.states, final)
        asked = jax.tree.map(lambda a, last: a.at[-1].add(last), ct_states, ct_final)
        ways = diagnostics.paths(cell, params, steps, asked)
        before = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b[:-1]]), start, steps.states)
        jacobians = jax.vmap(jax.vmap(jax.jacobian(flat)))(jnp.concatenate(before, axis=-1), xs)
        return {
            "steps": steps,
            "parts": ways.direct + ways.belt + ways.detour,
            "totals": jax.grad(of_taps)(cell.initial_state((STEPS, BATCH)))[-1],
            "belt": ways.belt,
            "jacobians": (diagnostics.step_jacobians(cell, params, steps), jacobians),
            "lyapunov": diagnostics.lyapunov_spectrum(cell, params, steps),
            "omega": diagnostics.omega(cell, params, steps, ways.state),
            "flossing": diagnostics.flossing(cell, params, steps, count=2),
            "gates": diagnostics.gate_values(cell, params, steps),
            "saturation": diagnostics.saturation(cell, params, steps),
            "horizon": diagnostics.horizon(steps),
            "keep_at_bias": diagnostics.keep_at_bias(cell, cell.init(jax.random.key(0), INPUTS)),
        }

    return jax.tree.map(np.asarray, run())


@pytest.mark.parametrize("name", NAMES)
def test_belt_and_detour_sum_to_the_total_that_taps_give(x64, name):
    results = measured(name)
    assert_close(results["parts"], results["totals"], 1e-12)
    assert np.any(results["belt"] != 0)
    reached = np.any(results["totals"] != 0, axis=-1)
    np.testing.assert_array_equal(reached, np.arange(STEPS)[:, None] < np.array(LENGTHS))


@pytest.mark.parametrize("name", NAMES)
def test_step_jacobians_and_lyapunov_exponents(x64, name):
    """Against ``jax.jacobian`` of one step; the exponents sum to the mean log determinant."""
    results = measured(name)
    actual, expected = results["jacobians"]
    for b, n in enumerate(LENGTHS):
        assert_close(actual[:n, b], expected[:n, b], 1e-13)
        logs = np.linalg.slogdet(expected[:n, b])[1]
        mean = logs.sum() / n if n else np.nan  # no exponents without a step
        np.testing.assert_allclose(results["lyapunov"].exponents[b].sum(), mean, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_gates_and_penalties(x64, name):
    results, cell = measured(name), ZONED[name]
    steps = results["steps"]
    blocks = np.moveaxis(results["gates"], 2, 0)  # (G, T, B, H)
    z = (steps.z_x + steps.z_h).reshape(*steps.z_x.shape[:2], len(cell.gates), FEATURES)
    np.testing.assert_allclose(blocks[0], sigmoid(z[:, :, 0]), rtol=1e-12)
    kept = 0.3 + 0.7 * (blocks[0] if name == "CoupledLSTM" else 1 - blocks[0])
    np.testing.assert_allclose(steps.f, kept, rtol=1e-12)
    valid = np.arange(STEPS)[:, None] < np.array(LENGTHS)
    np.testing.assert_allclose(results["horizon"], 1 / (1 - kept[valid].mean(axis=0)), rtol=1e-10)
    at_bias = 0.3 + 0.7 * (sigmoid(1.0) if name == "CoupledLSTM" else 0.5)
    np.testing.assert_allclose(results["keep_at_bias"], np.full(FEATURES, at_bias), rtol=1e-12)
    flat = (blocks[0] * (1 - blocks[0]))[valid] < 0.04 / 4
    np.testing.assert_allclose(results["saturation"][0], flat.mean(), rtol=1e-12)
    np.testing.assert_array_equal(results["omega"] > 0, np.array(LENGTHS) > 1)
    largest = np.nan_to_num(results["lyapunov"].exponents[:, :2])  # without a step there is none, and no penalty
    np.testing.assert_allclose(results["flossing"], (largest**2).sum(axis=-1), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_in_flax(x64, name):
    """In ``rnnjax.RNN``, with dropout masks in training only, and in ``flax.linen.RNN``."""
    cell = ZONED[name]
    layer, flaxs = rnnjax.RNN(cell), nn.RNN(rnnjax.LinenCell(cell), return_carry=True)
    xs, lengths = make_inputs(cell, (BATCH,)).swapaxes(0, 1), jnp.array(LENGTHS)

    @jax.jit
    def run():
        variables = layer.init(jax.random.key(0), xs)
        final, ys = layer.apply(variables, xs, lengths=lengths)
        params = rnnjax.Params(**{"b_h": None} | variables["params"]["cell"])
        expected, states = rnnjax.unroll(cell, params, xs.swapaxes(0, 1), lengths=lengths)
        inside = {"params": {"cell": variables["params"]}}
        carry, of_flax = flaxs.apply(inside, xs, seq_lengths=jnp.maximum(lengths, 1))  # Flax knows no empty sequence
        _, masked = layer.apply(variables, xs, train=True, rngs={"dropout": jax.random.key(1)})
        return (final, ys), (expected, states.h.swapaxes(0, 1)), (carry, of_flax), masked

    (final, ys), expected, (carry, of_flax), masked = run()
    assert_close((final, ys), expected, 1e-14)
    assert_close(of_flax[1], ys[1], 1e-12)
    theirs = (final[1], final[0]) if len(final) == 2 else final[0]  # memory first
    assert_close(jax.tree.map(lambda a: a[1:], carry), jax.tree.map(lambda a: a[1:], theirs), 1e-12)
    assert np.abs(masked[1] - ys[1]).max() > 1e-3


@pytest.mark.slow
def test_diagnose_gives_a_report(tmp_path):
    """The report of the other cell is made in docs/how-to/own-cell.md, which tests/docs runs."""
    cell = CoupledLSTM(8)
    xs = make_inputs(cell, (6,), 30)
    result = rnnjax.diagnose(cell, make_params(cell), xs, lambda final, ys: (final.h**2).sum(-1))
    (layer,) = result.diagnosis.layers
    assert (layer.cell, layer.gates, set(layer.saturation)) == ("CoupledLSTM", cell.gates, set(cell.gates))
    assert 0 < layer.belt_share < 1
    with open("/dev/null", "w") as nowhere:
        console = Console(width=140, record=True, file=nowhere)
        console.print(result.summary())
    assert "CoupledLSTM rnn" in console.export_text()
    page = result.save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 10  # five figures, wide and narrow
