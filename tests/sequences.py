"""Shared by tests of cells and recurrence: cells, parameters, inputs, a loss of every output, comparisons."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax.cells import DropoutMasks

STEPS, INPUTS, FEATURES = 8, 3, 5
LENGTHS = (0, 8, 3, 1)
WIDE = {"param_dtype": jnp.float64}

CELLS = {
    "SimpleRNN": rnnjax.SimpleRNN(FEATURES, **WIDE),
    "LSTM": rnnjax.LSTM(FEATURES, **WIDE),
    "GRU": rnnjax.GRU(FEATURES, **WIDE),
}
VARIANTS = {
    "SimpleRNN relu": rnnjax.SimpleRNN(FEATURES, activation="relu", recurrent_init=rnnjax.Identity(0.9), **WIDE),
    "LSTM chrono": rnnjax.LSTM(FEATURES, chrono=9, **WIDE),
    "GRU chrono": rnnjax.GRU(FEATURES, chrono=9, **WIDE),
}
ZONEOUT = 0.3
ZONED = {name: cell.replace(zoneout=ZONEOUT) for name, cell in CELLS.items()}


def slow_unless(quick, *values):
    """A case of the slow tests, unless ``quick``."""
    return pytest.param(*values, marks=() if quick else pytest.mark.slow)


def normal_like(tree, seed, scale=1.0):
    """Normal numbers in the shapes and dtypes of ``tree``, drawn by NumPy, so that nothing is compiled."""
    rng = np.random.default_rng(seed)

    def draw(a):
        imaginary = 1j * rng.normal(size=a.shape) if jnp.issubdtype(a.dtype, jnp.complexfloating) else 0
        return jnp.asarray(scale * (rng.normal(size=a.shape) + imaginary), a.dtype)

    return jax.tree.map(draw, tree)


def make_params(cell, inputs=INPUTS, seed=0):
    """Initial parameters plus noise, so that no bias is zero and no kernel is orthogonal or diagonal."""
    params = cell.init(jax.random.key(seed), inputs)
    return jax.tree.map(jnp.add, params, normal_like(params, seed + 1, 0.1))


def make_inputs(cell, batch_shape, steps=STEPS, inputs=INPUTS, seed=3):
    return normal_like(jax.ShapeDtypeStruct((steps, *batch_shape, inputs), cell.state_dtype), seed)


def make_state(cell, batch_shape, seed=5):
    return normal_like(cell.initial_state(batch_shape), seed, 0.5)


def zero_taps(cell, batch_shape, steps=STEPS):
    return cell.initial_state((steps, *batch_shape))


def total(tree, sin=jnp.sin):
    """A scalar loss of all arrays in ``tree`` whose gradient differs from entry to entry."""

    def phases(a):
        return (0.618 * np.arange(a.size) % 1.0 * 2 * np.pi).astype(a.dtype).reshape(a.shape)

    return sum(sin(a + phases(a)).sum() for a in jax.tree.leaves(tree))


def loop(cell, params, xs, state, lengths=None, dropout=DropoutMasks(None, None)):
    """``cell.step`` in a Python loop: (final, states). Steps past an example's end keep its state."""
    states, options = [], {"dropout": dropout} if isinstance(cell, rnnjax.ElementwiseCell) else {}
    for t, x_t in enumerate(xs):
        new, y = cell.step(params, state, x_t, **options)
        assert not hasattr(new, "h") or y is new.h
        if lengths is not None:
            new = jax.tree.map(lambda a, b, t=t: jnp.where((t < lengths)[..., None], a, b), new, state)
        state = new
        states.append(state)
    return state, jax.tree.map(lambda *a: jnp.stack(a), *states)


def assert_close(actual, expected, tolerance):
    """Equal structure, shapes and dtypes, and each array close relative to the largest entry of its expected one.

    ``chex.assert_trees_all_close`` alone takes one ``atol`` for all arrays of a tree, and gradients of parameters and
    of taps differ by orders of magnitude.
    """
    chex.assert_trees_all_equal_shapes_and_dtypes(actual, expected)

    def compare(a, b):
        chex.assert_trees_all_close(a, b, rtol=0, atol=tolerance * np.max(np.abs(b), initial=0.0))

    jax.tree.map(compare, actual, expected)


def assert_same(actual, expected):
    """Equal structure, shapes, dtypes and values."""
    chex.assert_trees_all_equal(actual, expected, strict=True)


def make_case(cell, batch_shape, given, steps=STEPS, lengths=LENGTHS):
    """(differentiable, other) keyword arguments of ``unroll``. The taps are random, not zero.

    ``given`` names the optional arguments to include, separated by spaces: state, taps, lengths, dropout.
    """
    arguments = {"params": make_params(cell), "xs": make_inputs(cell, batch_shape, steps)}
    other = {}
    if "state" in given:
        arguments["state"] = make_state(cell, batch_shape)
    if "taps" in given:
        arguments["taps"] = normal_like(zero_taps(cell, batch_shape, steps), 7, 0.1)
    if "lengths" in given:
        other["lengths"] = jnp.array(lengths).reshape(batch_shape) if batch_shape else jnp.array(5)
    if "dropout" in given:
        dropping = cell.replace(input_dropout=0.3, recurrent_dropout=0.4)
        rows = jnp.arange(int(np.prod(batch_shape))).reshape(batch_shape)
        other["dropout"] = dropping.dropout_masks(jax.random.key(11), rows, INPUTS, steps)
    return arguments, other


def fused_and_autodiff(cell, arguments, options, read=lambda results: results):
    """(gradient, (final, states)) with the fused backward pass, and the same by autodiff of the plain scan.

    The loss is ``total(read((final, states)))``. Autodiff ignores ``store_every``, so that it is the reference for it.
    """

    def loss(arguments, options):
        results = rnnjax.unroll(cell, **arguments, **options)
        return total(read(results)), results

    @jax.jit
    def both(arguments):
        plain = options | {"backward": "autodiff", "store_every": None}
        return [jax.grad(loss, has_aux=True)(arguments, chosen) for chosen in (options, plain)]

    return both(arguments)
