"""The Pallas kernels of several cells, compiled for TPUs; skipped where libtpu is not installed."""

import jax
import jax.numpy as jnp
import pytest
from sequences import total

import rnnjax
from rnnjax.sharding.ahead_of_time import compile_for_device

STEPS, INPUTS = 500, 64


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cell", "batch"),
    [
        (rnnjax.SimpleRNN(128), 32),
        (rnnjax.LSTM(128, zoneout=0.1, recurrent_dropout=0.1), 32),
        (rnnjax.GRU(128), 32),
        (rnnjax.PeepholeLSTM(100), 7),
        (rnnjax.LSTM(512), 64),  # not far from the largest that fit
        (rnnjax.LSTM(128), 256),
        (rnnjax.SimpleRNN(1024), 96),
    ],
    ids=str,
)
@pytest.mark.parametrize("chip", ["v5e", "v6e"])
def test_a_layer_is_two_kernels(chip, cell, batch, target):
    """With lengths, resets, taps, dropout and zoneout."""

    def make_arguments():
        key, rows = jax.random.key(0), jnp.arange(batch)
        return {
            "params": cell.init(key, INPUTS),
            "xs": jnp.zeros((STEPS, batch, INPUTS)),
            "taps": cell.initial_state((STEPS, batch)),
            "lengths": jnp.zeros(batch, int),
            "resets": jnp.zeros((STEPS, batch), bool),
            "dropout": cell.dropout_masks(key, rows, INPUTS, STEPS),
        }

    def gradients(arguments):
        def loss(params, taps):
            return total(rnnjax.unroll(cell, **arguments | {"params": params, "taps": taps}, backend="pallas"))

        return jax.grad(loss, (0, 1))(arguments["params"], arguments["taps"])

    compiled = compile_for_device(gradients, (jax.eval_shape(make_arguments),), target(chip).devices()[0])
    assert compiled.as_text().count('custom_call_target="tpu_custom_call"') == 2
