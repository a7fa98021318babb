"""``backend="associative"`` equals the scan, values and gradients, for cells that are linear in their state."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family_cells import BATCH, CELLS, full_case, reference
from sequences import (
    FEATURES,
    INPUTS,
    LENGTHS,
    STEPS,
    assert_close,
    make_inputs,
    make_params,
    normal_like,
    slow_unless,
    total,
)

import rnnjax
from rnnjax.core.taps import norm_taps, zero_taps
from rnnjax.core.unroll import unroll_with_outputs

pytestmark = pytest.mark.slow


def gradient(cell, arguments, options):
    """(gradient, (final, states)) of a loss that reads every state."""

    def loss(arguments):
        results = rnnjax.unroll(cell, **arguments, **options)
        return total(results), results

    return jax.jit(jax.grad(loss, has_aux=True))(arguments)


@pytest.mark.parametrize(
    ("name", "reverse", "more"),
    [
        ("MinGRU", False, {}),
        ("MinLSTM", True, {"store_every": 3}),
        ("MinGRU", False, {"backward": "autodiff"}),
        slow_unless(False, "MinGRU", True, {"store_every": 3}),
        slow_unless(False, "MinLSTM", True, {"backward": "autodiff"}),
    ],
)
def test_it_equals_the_scan_and_the_equations(x64, name, reverse, more):
    """With lengths, a state, resets, taps, dropout of inputs and zoneout."""
    arguments, options, given = full_case(name, reverse)
    found = gradient(CELLS[name], arguments, options | more | {"backend": "associative"})
    assert_close(found, gradient(CELLS[name], arguments, options), 1e-12)
    assert_close(found, reference(name, arguments, *given), 1e-12)


@pytest.mark.parametrize("name", [slow_unless(name == "MinLSTM", name) for name in ("MinGRU", "MinLSTM")])
def test_it_equals_the_scan_on_a_long_sequence_and_with_the_mean_of_zoneout(x64, name):
    cell = CELLS[name].replace(zoneout=0.2, forget_bias=3.0)
    arguments = {"params": make_params(cell), "xs": make_inputs(cell, (2,), 501)}
    assert_close(gradient(cell, arguments, {"backend": "associative"}), gradient(cell, arguments, {}), 1e-11)


class RotationState(NamedTuple):
    """Complex units and, as a second array, a count of steps with its own decay."""

    s: jax.Array  # (..., H) complex
    n: jax.Array  # (..., 2) real


@dataclasses.dataclass(frozen=True)
class Rotations(rnnjax.Cell):
    """s_t = λ·s_{t-1} + x_t B and n_t = n_{t-1} / 2 + 1, from s = 1 + i; y_t = Re(s_t) + Σx_t."""

    def init(self, key, in_features):
        return {"phase": jnp.linspace(0.1, 2.0, self.features), "b": jnp.ones((in_features, self.features)) * 0.3}

    def initial_state(self, batch_shape=()):
        s = jnp.full((*batch_shape, self.features), 1 + 1j, jnp.complex128)
        return RotationState(s, jnp.zeros((*batch_shape, 2)))

    def _rates(self, params):
        return 0.9 * jnp.exp(1j * params["phase"])

    def step(self, params, state, x_t):
        rates = jnp.expand_dims(self._rates(params), range(state.s.ndim - 1))
        s = rates * state.s + x_t @ params["b"]
        return RotationState(s, state.n / 2 + 1), s.real + x_t.sum(axis=-1, keepdims=True)

    def linear_coefficients(self, params, xs):
        ones = jnp.ones((*xs.shape[:-1], 2))
        return RotationState(self._rates(params), jnp.asarray(0.5)), RotationState(xs @ params["b"], ones)

    def outputs(self, params, states, xs):
        return states.s.real + xs.sum(axis=-1, keepdims=True)


def complex_case(cell_type):
    """(cell, arguments to differentiate, other options) with lengths, resets and taps."""
    cell = cell_type(FEATURES, param_dtype=jnp.float64)
    rng, params = np.random.default_rng(0), cell.init(jax.random.key(0), INPUTS)
    params = jax.tree.map(lambda a, noise: a + noise, params, normal_like(params, 1, 0.1))
    taps = jax.tree.map(lambda a: jnp.asarray(0.1 * rng.normal(size=a.shape), a.dtype), zero_taps(cell, (STEPS, BATCH)))
    resets = jnp.asarray(rng.random((STEPS, BATCH)) < 0.3)
    xs = normal_like(jax.ShapeDtypeStruct((STEPS, BATCH, INPUTS), jnp.float64), 2)
    return cell, {"params": params, "xs": xs, "taps": taps}, {"lengths": jnp.array(LENGTHS), "resets": resets}


@pytest.mark.parametrize(
    ("cell_type", "more"),
    [
        (Rotations, {"store_every": 3}),
        (rnnjax.LRU, {"reverse": True, "backward": "autodiff"}),
        slow_unless(False, Rotations, {"reverse": True, "backward": "autodiff"}),
        *(slow_unless(False, kind, {}) for kind in (Rotations, rnnjax.LRU)),
        slow_unless(False, rnnjax.LRU, {"store_every": 3}),
    ],
)
def test_complex_states_and_outputs_of_their_own(x64, cell_type, more):
    cell, arguments, options = complex_case(cell_type)

    def loss(arguments, backend):
        final, states, ys = unroll_with_outputs(cell, **arguments, **options, **more, backend=backend)
        parts = jax.tree.map(lambda a: (a.real, a.imag) if jnp.iscomplexobj(a) else a, (final, states, ys))
        return total(parts), (final, states, ys)

    found, expected = (
        jax.jit(jax.grad(lambda a, backend=backend: loss(a, backend), has_aux=True))(arguments)
        for backend in ("associative", "scan")
    )
    assert_close(found, expected, 1e-12)
    past_end = np.arange(STEPS)[:, None] >= np.array(LENGTHS)
    assert not np.any(np.asarray(found[1][2])[past_end])


def test_norm_taps_get_the_norms(x64):
    for cell, arguments, options in ((CELLS["MinGRU"], *full_case("MinGRU")[:2]), complex_case(Rotations)):
        taps = jax.tree.map(jnp.zeros_like, arguments["taps"])
        plain, _ = gradient_of_taps(cell, arguments, options, taps)
        norms, _ = gradient_of_taps(cell, arguments, options, norm_taps(taps))
        expected = jax.tree.map(lambda a: np.linalg.norm(a, axis=-1, keepdims=True), plain)
        for tap, norm in zip(norms, expected, strict=True):
            np.testing.assert_allclose(tap.norm, norm, rtol=1e-12)


def gradient_of_taps(cell, arguments, options, taps):
    def loss(taps):
        results = rnnjax.unroll(cell, **arguments | {"taps": taps}, **options, backend="associative")
        return sum(jnp.sum(jnp.abs(a) ** 2) for a in jax.tree.leaves(results)), results

    return jax.jit(jax.grad(loss, has_aux=True))(taps)


def test_no_gradient_at_all_passes_a_reset(x64):
    cell = CELLS["MinGRU"]
    params, xs = make_params(cell), make_inputs(cell, ())
    resets = jnp.arange(STEPS) == 4

    def read(xs):
        final, _ = rnnjax.unroll(cell, params, xs, resets=resets, backend="associative")
        return total(final)

    slopes = np.asarray(jax.jit(jax.grad(read))(xs))
    assert not np.any(slopes[:4])
    assert np.all(slopes[4:] != 0)


def test_forward_mode_and_second_derivatives(x64):
    cell = CELLS["MinLSTM"]
    params, xs = make_params(cell), make_inputs(cell, (2,))

    def loss(params, options):
        return total(rnnjax.unroll(cell, params, xs, **options))

    tangent = normal_like(params, 5)
    for options in ({"backend": "associative"}, {"backend": "associative", "backward": "autodiff"}):
        slope, expected = (
            jax.jit(lambda p, of=of: jax.jvp(lambda p: loss(p, of), (p,), (tangent,))[1])(params)
            for of in (options, {"backward": "autodiff"})
        )
        np.testing.assert_allclose(slope, expected, rtol=1e-12)
    second, expected = (
        jax.jit(jax.hessian(lambda b, options=options: loss(params._replace(b=b), options)))(params.b)
        for options in ({"backend": "associative", "backward": "autodiff"}, {"backward": "autodiff"})
    )
    assert_close(second, expected, 1e-11)


@pytest.mark.parametrize("cell", [rnnjax.MinGRU(FEATURES), rnnjax.MinLSTM(FEATURES), rnnjax.LRU(FEATURES)])
def test_a_layer_computes_the_same_with_it(cell):
    xs, lengths = jnp.moveaxis(make_inputs(cell, (BATCH,)), 0, 1), jnp.array(LENGTHS)
    scan, parallel = (rnnjax.RNN(cell, backend=backend) for backend in ("scan", "associative"))
    variables = scan.init(jax.random.key(0), xs)
    expected, found = (jax.jit(layer.apply)(variables, xs, lengths=lengths) for layer in (scan, parallel))
    assert_close(found, expected, 1e-6)


def test_dropout_of_the_inputs_is_the_same_in_a_layer():
    cell = rnnjax.MinGRU(FEATURES, input_dropout=0.5)
    xs = jnp.moveaxis(make_inputs(cell, (BATCH,)), 0, 1)
    scan, parallel = (rnnjax.RNN(cell, backend=backend) for backend in ("scan", "associative"))
    variables, drawn = scan.init(jax.random.key(0), xs), {"dropout": jax.random.key(1)}
    expected, found = (layer.apply(variables, xs, train=True, rngs=drawn) for layer in (scan, parallel))
    assert_close(found, expected, 1e-6)


@pytest.mark.parametrize("cell", [rnnjax.MinGRU(3), slow_unless(False, rnnjax.LRU(3))])
def test_a_layer_in_parallel_is_observed_as_one_that_scans(cell):
    """Where its gradient is to be seen at every step, it is computed step by step."""
    xs = jnp.moveaxis(make_inputs(rnnjax.LSTM(1), (BATCH,)), 0, 1)
    norms = []
    for backend in ("scan", "associative"):
        layer = rnnjax.RNN(cell, backend=backend)
        variables = layer.init(jax.random.key(0), xs)
        observed = rnnjax.observe(lambda xs, layer=layer: (layer.apply(variables, xs)[1] ** 2).sum())(xs)  # noqa: B023
        slopes = jax.jit(jax.grad(observed.tapped))(observed.taps, xs)
        norms.append([np.abs(a) for a in jax.tree.leaves(slopes)])
    assert len(norms[0]) == 1
    assert np.all(norms[0][0].sum(axis=-1) > 0)
    assert_close(norms[1], norms[0], 1e-6)


@dataclasses.dataclass(frozen=True)
class WithoutOutputs(Rotations):
    """A linear cell that lacks what the associative scan needs for outputs."""

    outputs = rnnjax.Cell.outputs


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda xs: rnnjax.unroll(rnnjax.LSTM(5), None, xs, backend="associative"),
            r"backend='associative' needs a cell that is linear in its state, such as rnnjax.MinGRU\(128\), got LSTM; "
            "use backend='scan'",
        ),
        (
            lambda xs: rnnjax.unroll(rnnjax.MinGRU(5), None, xs, backend="parallel"),
            "backend must be one of scan, assoc",
        ),
        (
            lambda xs: rnnjax.RNN(rnnjax.IndRNN(5), backend="associative").init(jax.random.key(0), xs),
            "such as rnnjax.MinGRU.128., got IndRNN",
        ),
        (
            lambda xs: rnnjax.unroll(WithoutOutputs(5), None, xs, backend="associative"),
            "needs WithoutOutputs.outputs, as its output is not the field h of its state",
        ),
    ],
)
def test_a_cell_that_is_not_linear_is_refused_with_a_sentence(x64, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(jnp.zeros((8, 4, 3)))
