"""Keras 3 on the backend named by KERAS_BACKEND, compiled as ``fit`` compiles it."""

import os
from typing import Any

import keras
import numpy as np

from benchmarks.cases import Case, blocks, inputs, weights
from benchmarks.peers import Layer

CELLS = {"simple": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


def _weights(case: Case) -> list[np.ndarray]:
    arrays = weights(case)
    if case.cell != "gru":
        return list(arrays[:3])
    zeros = np.zeros(case.features, np.float32)
    packed = [arrays.w_x, arrays.w_h, arrays.b, np.concatenate([zeros, zeros, arrays.b_h])]
    r_u_n = [blocks(case, array) for array in packed]
    kernel, recurrent, b, b_h = (np.concatenate([u, r, n], axis=-1) for r, u, n in r_u_n)
    return [kernel, recurrent, np.stack([b, b_h])]


def build(case: Case) -> Layer:
    """``keras.layers.SimpleRNN``, ``LSTM`` or ``GRU``."""
    layer = CELLS[case.cell](case.features)
    layer.build((case.batch, case.steps, case.features))
    layer.set_weights(_weights(case))
    return (_on_jax if os.environ["KERAS_BACKEND"] == "jax" else _on_tensorflow)(case, layer)


def _on_jax(case: Case, layer: Any) -> Layer:
    from benchmarks.peers.jax_layer import jax_layer

    non_trainable = [variable.value for variable in layer.non_trainable_variables]

    def last_output(params: Any, xs: Any) -> Any:
        return layer.stateless_call(params, non_trainable, xs)[0]

    return jax_layer(case, last_output, [variable.value for variable in layer.trainable_variables])


def _on_tensorflow(case: Case, layer: Any) -> Layer:
    import tensorflow as tf

    xs = tf.Variable(inputs(case))
    forward = tf.function(lambda: layer(xs))

    @tf.function
    def gradient() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(xs) ** 2)
        return tape.gradient(loss, [xs, *layer.trainable_variables])

    return Layer(
        forward=lambda: forward().numpy(),
        gradient=lambda: [np.asarray(g) for g in gradient()],
        check=lambda: (forward().numpy(), gradient()[0].numpy()),
    )
