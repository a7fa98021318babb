"""Losses in which a layer draws dropout, zoneout or noise, which is not measured."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import normal_like

import rnnjax

BATCH, STEPS = 2, 5
XS = normal_like(jax.ShapeDtypeStruct((BATCH, STEPS, 3), jnp.float32), 0)
CELLS = {
    "input dropout": rnnjax.SimpleRNN(4, input_dropout=0.5),
    "recurrent dropout": rnnjax.SimpleRNN(4, recurrent_dropout=0.5),
    "zoneout": rnnjax.LSTM(4, zoneout=0.5),
    "noise": rnnjax.CTRNN(4),
}


class Model(nn.Module):
    """One layer, perhaps under ``nn.remat`` or ``nn.jit``, which trace ``train``."""

    cell: rnnjax.Cell
    transform: str | None = None

    @nn.compact
    def __call__(self, xs, taps=None, train=False):
        layer = rnnjax.RNN if self.transform is None else getattr(nn, self.transform)(rnnjax.RNN)
        return layer(self.cell, name="rnn")(xs, taps=taps, train=train)[1]


def loss_of(model, train):
    def loss(params, xs, taps=None):
        ys = model.apply(params, xs, taps=taps, train=train, rngs={"dropout": jax.random.key(5)})
        return (ys[:, -1] ** 2).sum(-1)

    return loss


def refused(model, train=True):
    params = Model(model.cell).init(jax.random.key(1), XS)
    sentence = (
        "the layer 'rnn' may draw dropout, zoneout or noise in this loss, which is not measured; give a loss that "
        "applies the model with train=False, and a rnnjax.NnxRNN without a key"
    )
    loss = loss_of(model, train)
    for measure in (lambda: rnnjax.diagnose(model, params, XS, loss), lambda: rnnjax.gradient_flow(loss, params, XS)):
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
            measure()


@pytest.mark.parametrize("name", CELLS)
def test_a_layer_in_training_is_refused(name):
    refused(Model(CELLS[name]))


@pytest.mark.parametrize("transform", ["remat", "jit"])
def test_a_train_that_a_transformation_traces_is_known(transform):
    """The norms with ``train=False`` are those of the taps, and ``train=True`` is refused."""
    model = Model(CELLS["recurrent dropout"], transform)
    plain = Model(model.cell)
    params = plain.init(jax.random.key(1), XS)
    norms = rnnjax.gradient_flow(loss_of(model, train=False), params, XS).norms
    taps = rnnjax.RNN(model.cell).zero_taps(BATCH, STEPS)
    gradient = jax.grad(lambda taps: loss_of(plain, train=False)(params, XS, taps).sum())(taps)
    np.testing.assert_allclose(norms["rnn"], np.linalg.norm(gradient.h, axis=-1).T, rtol=1e-4)
    refused(model)


def test_training_of_one_example_at_a_time_is_refused():
    model = Model(CELLS["recurrent dropout"])
    params = model.init(jax.random.key(1), XS)
    one = jax.vmap(lambda params, x: loss_of(model, train=True)(params, x[None])[0], (None, 0))
    with pytest.raises(ValueError, match="the layer 'rnn' may draw dropout"):
        rnnjax.diagnose(model, params, XS, one)


def test_a_train_that_is_computed_in_the_loss_is_refused():
    model = Model(CELLS["recurrent dropout"])
    params = model.init(jax.random.key(1), XS)
    with pytest.raises(ValueError, match="the layer 'rnn' may draw dropout"):
        rnnjax.gradient_flow(lambda params, xs: loss_of(model, xs.sum() > 1e6)(params, xs), params, XS)
