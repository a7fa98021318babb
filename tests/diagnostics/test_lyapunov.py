"""Lyapunov exponents of linear maps that are known, their sum, and the onset of chaos in a random network."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import CELLS, LENGTHS, VARIANTS, make_inputs, make_params, make_state, slow_unless

import rnnjax
from rnnjax.cells import SimpleRNNState
from rnnjax.diagnostics import flossing, linearise, lyapunov_spectrum, step_jacobians

ALL = CELLS | VARIANTS
WIDE = {"param_dtype": jnp.float64}


@dataclasses.dataclass(frozen=True)
class Linear(rnnjax.ElementwiseCell):
    """h_t = z^x_t + z^h_t: its step Jacobian is W_hᵀ at every step."""

    gates: ClassVar[tuple[str, ...]] = ("h",)
    State: ClassVar[type] = SimpleRNNState

    def update(self, z_x, z_h, m):
        return z_x + z_h


def spectrum(cell, params, xs, start=None, lengths=None, count=None):
    @jax.jit
    def run(params, xs, start, lengths):
        return lyapunov_spectrum(cell, params, linearise(cell, params, xs, start, lengths=lengths), count=count)

    return jax.tree.map(np.asarray, run(params, xs, start, lengths))


def test_a_scaled_rotation_shrinks_every_direction_alike(x64):
    cell = Linear(4, recurrent_init=rnnjax.Orthogonal(0.9), **WIDE)
    found = spectrum(cell, cell.init(jax.random.key(0), 3), make_inputs(cell, (2,), 7))
    np.testing.assert_allclose(found.exponents, np.full((2, 4), np.log(0.9)), rtol=1e-12)
    np.testing.assert_allclose(found.running, np.full((7, 2, 4), np.log(0.9)), rtol=1e-12)


def test_steps_with_a_reset_do_not_count(x64):
    """Of one unit, the exponent is the mean of log|J| over the other steps."""
    cell = rnnjax.SimpleRNN(1, **WIDE)
    params, xs = make_params(cell), make_inputs(cell, (2,), 7)
    resets = jnp.zeros((7, 2), bool).at[0].set(True).at[3, 1].set(True)
    steps = linearise(cell, params, xs, lengths=jnp.array([7, 5]), resets=resets)
    with np.errstate(divide="ignore"):  # of the steps that do not count
        logs = np.log(np.abs(step_jacobians(cell, params, steps)[..., 0, 0]))
    found = np.asarray(lyapunov_spectrum(cell, params, steps).exponents[:, 0])
    np.testing.assert_allclose(found, [logs[1:, 0].mean(), logs[[1, 2, 4], 1].mean()], rtol=1e-12)


def test_without_a_step_that_counts_there_is_no_exponent_and_no_penalty():
    """Of examples with a reset at every step, with no step, and with all steps."""
    cell = rnnjax.SimpleRNN(2)
    xs = make_inputs(cell, (3,), 5)
    resets = jnp.zeros((5, 3), bool).at[:, 0].set(True)

    def steps(params):
        return linearise(cell, params, xs, lengths=jnp.array([5, 0, 5]), resets=resets)

    params = make_params(cell)
    exponents = np.asarray(lyapunov_spectrum(cell, params, steps(params)).exponents)
    np.testing.assert_array_equal(np.isnan(exponents), [[True, True], [True, True], [False, False]])
    penalty, gradient = jax.value_and_grad(lambda params: flossing(cell, params, steps(params), count=2).sum())(params)
    np.testing.assert_allclose(penalty, (exponents[2] ** 2).sum(), rtol=1e-5)
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(gradient))


def test_a_relu_network_where_nothing_is_cut_off(x64):
    """A scaled permutation and a positive bias keep every unit on."""
    cell = rnnjax.SimpleRNN(4, activation="relu", **WIDE)
    params = cell.init(jax.random.key(0), 3)
    params = params._replace(w_h=0.8 * jnp.eye(4)[jnp.array([2, 0, 3, 1])], b=jnp.ones(4), w_x=0 * params.w_x)
    found = spectrum(cell, params, make_inputs(cell, (), 20))
    np.testing.assert_allclose(found.exponents, np.full(4, np.log(0.8)), rtol=1e-12)


@pytest.mark.parametrize("normal", [True, False])
def test_exponents_of_a_linear_map_are_the_logs_of_its_eigenvalues(x64, normal):
    """In the long run; the first steps, in which the directions align, are subtracted."""
    values = np.array([1.3, 1.0, 0.7, 0.4])
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(4, 4))
    basis = np.linalg.qr(basis)[0] if normal else basis
    cell = Linear(4, **WIDE)
    params = cell.init(jax.random.key(0), 3)._replace(w_h=jnp.array(basis @ np.diag(values) @ np.linalg.inv(basis)))
    found = spectrum(cell, params, 0 * make_inputs(cell, (), 300))
    late = (300 * found.running[299] - 150 * found.running[149]) / 150
    np.testing.assert_allclose(late, np.log(values), atol=1e-9)
    np.testing.assert_allclose(found.exponents, np.log(values), atol=0.05)


@pytest.mark.parametrize("name", [slow_unless(name == "LSTM", name) for name in ALL])
def test_the_exponents_sum_to_the_mean_log_determinant_whatever_the_length(x64, name):
    cell, lengths = ALL[name], np.array(LENGTHS)
    params, xs, start = make_params(cell), make_inputs(cell, (len(lengths),)), make_state(cell, (len(lengths),))
    if name == "SimpleRNN relu":
        params = params._replace(b=params.b + 5)  # a unit that is off makes the determinant 0

    @jax.jit
    def run(xs, start, lengths):
        steps = linearise(cell, params, xs, start, lengths=lengths)
        few = lyapunov_spectrum(cell, params, steps, count=2).exponents
        return lyapunov_spectrum(cell, params, steps), few, step_jacobians(cell, params, steps)

    found, few, jacobians = run(xs, start, jnp.array(lengths))
    size = cell.features * len(cell.State._fields)
    assert found.exponents.shape == (len(lengths), size)
    logs = np.linalg.slogdet(np.asarray(jacobians))[1]
    for b, n in enumerate(lengths):
        expected = logs[:n, b].sum() / n if n else np.nan
        np.testing.assert_allclose(found.exponents[b].sum(), expected, rtol=1e-10, atol=1e-12)
        expected = np.cumsum(logs[:n, b]) / np.arange(1, n + 1)
        np.testing.assert_allclose(found.running[:n, b].sum(axis=-1), expected, rtol=1e-10)
    np.testing.assert_array_equal(found.running[-1], found.exponents)
    np.testing.assert_allclose(few, found.exponents[:, :2], rtol=1e-10, atol=1e-13)
    assert np.isnan(found.running[:, 0]).all()  # no step at all


@pytest.mark.parametrize("name", [slow_unless(name == "LSTM", name) for name in CELLS])
def test_an_example_among_others_has_the_exponents_that_it_has_alone(x64, name):
    cell, lengths = CELLS[name], np.array(LENGTHS)
    params, xs, start = make_params(cell), make_inputs(cell, (len(lengths),)), make_state(cell, (len(lengths),))
    together = spectrum(cell, params, xs, start, jnp.array(lengths))
    for b in (1, 2):
        n = lengths[b]
        alone = spectrum(cell, params, xs[:n, b], jax.tree.map(lambda a, b=b: a[b], start))
        np.testing.assert_allclose(together.exponents[b], alone.exponents, rtol=1e-10)
        np.testing.assert_allclose(together.running[:n, b], alone.running, rtol=1e-10)
        np.testing.assert_allclose(
            together.running[n:, b], np.broadcast_to(alone.exponents, (8 - n, *alone.exponents.shape)), rtol=1e-10
        )


def test_a_random_network_turns_chaotic_with_its_gain():
    """Sompolinsky, Crisanti & Sommers (1988): w_h ~ N(0, g²/H) settles down for g < 1 and is chaotic for g > 1."""
    H, T = 64, 300
    cell = rnnjax.SimpleRNN(H)
    rng = np.random.default_rng(0)
    w = rng.normal(size=(H, H)) / np.sqrt(H)
    start = cell.State(jnp.array(rng.normal(size=(2, H)), jnp.float32))
    params = cell.init(jax.random.key(0), 1)
    params = [params._replace(w_h=jnp.array(g * w, jnp.float32)) for g in (0.5, 3.0)]

    @jax.jit
    def largest(params, start):
        steps = linearise(cell, params, jnp.zeros((T, 1)), start)
        return lyapunov_spectrum(cell, params, steps, count=1).exponents[0]

    quiet, chaotic = (float(largest(p, cell.State(start.h[0]))) for p in params)
    radius = 0.5 * np.abs(np.linalg.eigvals(w)).max()
    assert quiet == pytest.approx(np.log(radius), abs=0.05)  # at rest it is a linear map
    assert 0.1 < chaotic < np.log(3)
