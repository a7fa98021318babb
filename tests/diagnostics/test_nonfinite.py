"""The first number that is not finite is found where it was put."""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import CELLS, FEATURES, make_inputs, make_params, make_state, normal_like

import rnnjax
from rnnjax.analysis.measure import measure, nonfinite_origin
from rnnjax.cells import Params, SimpleRNNState
from rnnjax.diagnostics import first_not_finite, linearise, paths
from rnnjax.diagnostics.alarms.evidence import Origin

T = 24
LENGTHS = np.array([24, 0, 20])


@functools.cache
def program(cell):
    @jax.jit
    def run(params, xs, asked):
        steps = linearise(cell, params, xs, make_state(cell, (3,)), lengths=jnp.array(LENGTHS))
        return steps, paths(cell, params, steps, asked)

    return run


def searched(cell, params, xs, asked=None):
    asked = normal_like(cell.initial_state((T, 3)), 11) if asked is None else asked
    return first_not_finite(cell, *program(cell)(params, xs, asked))


@pytest.fixture(params=CELLS)
def healthy(request, x64):
    cell = CELLS[request.param]
    return cell, make_params(cell), make_inputs(cell, (3,), T)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_input_is_found_at_its_step(healthy, bad):
    cell, params, xs = healthy
    found = searched(cell, params, xs.at[17, 2, 0].set(bad))
    assert (found.phase, found.timestep, found.example) == ("forward", 17, 2)


def test_all_is_finite_and_what_lies_past_the_end_does_not_count(healthy):
    cell, params, xs = healthy
    assert searched(cell, params, xs.at[20:, 2].set(np.nan).at[:, 1].set(np.nan)) is None


def test_a_bad_weight_is_found_in_its_gate(healthy):
    cell, params, xs = healthy
    for k, gate in enumerate(cell.gates):
        w_h = params.w_h.at[0, k * FEATURES].set(jnp.inf)
        found = searched(cell, params._replace(w_h=w_h), xs)
        assert found == ("forward", 0, gate, 0)


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_a_bad_gradient_is_found_at_its_step(healthy, bad):
    cell, params, xs = healthy
    asked = normal_like(cell.initial_state((T, 3)), 11)
    found = searched(cell, params, xs, asked._replace(h=asked.h.at[13, 2, 1].set(bad)))
    assert (found.phase, found.timestep, found.example) == ("backward", 13, 2)


@dataclasses.dataclass(frozen=True)
class Adder(rnnjax.ElementwiseCell):
    """Adds a number that is near the end of float32 at every step."""

    gates: ClassVar[tuple[str, ...]] = ("h",)
    State: ClassVar[type] = SimpleRNNState

    def update(self, z_x, z_h, m):
        return m + z_x


def test_a_state_that_overflows_at_finite_gates_has_no_gate():
    cell = Adder(2)
    params = Params(jnp.full((1, 2), 1e38), jnp.zeros((2, 2)), jnp.zeros(2))

    @jax.jit
    def run(params):
        steps = linearise(cell, params, jnp.ones((6, 1, 1)))
        return steps, paths(cell, params, steps, jax.tree.map(jnp.zeros_like, steps.states))

    assert first_not_finite(cell, *run(params)) == ("forward", 3, None, 0)


class Layers:
    """Two layers, the upper one walking backwards, over (B, T, D), under a loss on all outputs."""

    steps, lengths = 7, np.array([7, 0, 5])
    model = rnnjax.Stack((rnnjax.RNN(rnnjax.LSTM(3)), rnnjax.RNN(rnnjax.GRU(2), reverse=True)))
    xs = np.random.default_rng(0).normal(size=(3, steps, 2)).astype(np.float32)

    @staticmethod
    def loss(params, batch):
        xs, scale = batch
        _, ys = Layers.model.apply({"params": params}, xs, lengths=jnp.array(Layers.lengths))
        return jnp.sum(ys * scale, axis=(1, 2))


@pytest.fixture(scope="module")
def layers():
    params = jax.tree.map(np.asarray, jax.jit(Layers.model.init)(jax.random.key(0), Layers.xs)["params"])
    program = jax.jit(functools.partial(measure, Layers.loss))
    scale = np.ones((3, Layers.steps, 1), np.float32)

    def search(params=params, xs=Layers.xs, scale=scale):
        return nonfinite_origin(program(params, (xs, scale)))

    return params, scale, search


def with_bad_weights(params, layer, columns):
    w_h = params[layer]["cell"]["w_h"].copy()
    w_h[:, columns] = np.inf
    return params | {layer: {"cell": params[layer]["cell"] | {"w_h": w_h}}}


def test_the_lowest_layer_of_a_stack_is_named(layers):
    params, _, search = layers
    xs = Layers.xs.copy()
    xs[2, 3] = np.nan
    origin = search(xs=xs)
    assert (origin.phase, origin.layer, origin.timestep, origin.step) == ("forward", "layers_0", 3, None)
    bad = with_bad_weights(with_bad_weights(params, "layers_0", slice(6, 9)), "layers_1", slice(0, 2))
    assert search(bad) == Origin("forward", "layers_0", "g", 0, None)


def test_a_layer_that_walks_backwards_is_searched_in_its_order_and_reported_in_that_of_the_text(layers):
    """0·inf in gate n at its very first step, which is the last of the text."""
    params, _, search = layers
    assert search(with_bad_weights(params, "layers_1", slice(4, 6))) == Origin("forward", "layers_1", "n", 6, None)


def test_a_gradient_from_above_is_found_in_the_top_layer(layers):
    _, scale, search = layers
    scale = scale.copy()
    scale[2, 4] = np.nan
    origin = search(scale=scale)
    assert (origin.phase, origin.layer, origin.timestep) == ("backward", "layers_1", 4)


def test_outside_of_the_layers_all_but_the_phase_is_unknown(layers):
    _, scale, search = layers
    assert search() == Origin("backward", None, None, None, None)
    past_the_end = scale.copy()
    past_the_end[2, 6] = np.inf  # a reverse layer shows its initial state there, 0: the loss alone is not finite
    assert search(scale=past_the_end) == Origin("forward", None, None, None, None)
