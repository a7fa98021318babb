"""Cells with parameters of their own, without W_h or with noise, inside the modules of Flax and stacked."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family_cells import BATCH, CELLS
from sequences import INPUTS, LENGTHS, assert_close, make_inputs

import rnnjax
from rnnjax.cells.params import to_dict

NAMES = ["PeepholeLSTM", "IndRNN", "CTRNN"]


def make_case(name):
    cell = CELLS[name].replace(param_dtype=jnp.float32)
    xs = jnp.moveaxis(make_inputs(cell, (BATCH,)), 0, 1)
    layer = rnnjax.RNN(cell)
    return cell, xs, layer, layer.init(jax.random.key(0), xs)


@pytest.mark.parametrize("name", NAMES)
def test_a_linen_cell_under_flax_gives_the_layers_outputs(name):
    cell, xs, layer, variables = make_case(name)
    _, expected = layer.apply(variables, xs)
    found = nn.RNN(rnnjax.LinenCell(cell)).apply({"params": {"cell": variables["params"]}}, xs)
    assert_close(found, expected, 1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_an_nnx_layer_gives_the_layers_outputs(nnx, name):
    cell, xs, layer, _ = make_case(name)
    nnx_layer = rnnjax.NnxRNN(cell, INPUTS, rngs=nnx.Rngs(0))
    variables = {"params": {"cell": to_dict(nnx_layer.params)}}
    expected = layer.apply(variables, xs, lengths=jnp.array(LENGTHS))
    assert_close(nnx_layer(xs, lengths=jnp.array(LENGTHS)), expected, 1e-6)


def test_different_cells_in_a_stack_and_in_two_directions():
    """Taps of all layers have gradients, and noise is drawn in training."""
    model = rnnjax.Stack(
        (
            rnnjax.Bidirectional(rnnjax.RNN(rnnjax.PeepholeLSTM(4)), rnnjax.RNN(rnnjax.IndRNN(3), reverse=True)),
            rnnjax.RNN(rnnjax.MinGRU(5), backend="associative"),
            rnnjax.RNN(rnnjax.CTRNN(3)),
        )
    )
    xs, lengths = make_inputs(rnnjax.LSTM(1), (BATCH,), 8), jnp.array(LENGTHS)
    xs = jnp.moveaxis(xs, 0, 1)
    variables = jax.jit(model.init)(jax.random.key(0), xs)

    @jax.jit
    @jax.grad
    def gradient(taps):
        return (model.apply(variables, xs, lengths=lengths, taps=taps)[1] ** 2).sum()

    slopes = gradient(model.zero_taps(BATCH, 8))
    assert all(np.any(a != 0) for a in jax.tree.leaves(slopes))
    past_end = np.arange(8)[None] >= np.array(LENGTHS)[:, None]
    assert not any(np.any(np.asarray(a)[past_end]) for a in jax.tree.leaves(slopes))
    _, still = jax.jit(model.apply)(variables, xs)
    _, noisy = jax.jit(functools.partial(model.apply, train=True))(variables, xs, rngs={"dropout": jax.random.key(1)})
    assert np.all(still != noisy)
