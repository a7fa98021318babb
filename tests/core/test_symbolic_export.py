"""``jax.export`` with a symbolic batch or length: the exported program and its gradient are those of jit."""

import jax
import jax.numpy as jnp
import pytest
from jax import export
from sequences import assert_close, make_inputs, make_params, slow_unless

import rnnjax

pytestmark = pytest.mark.slow

STEPS, BATCH, INPUTS = 12, 5, 3
LENGTHS = jnp.array([12, 3, 0, 7, 1])


@pytest.mark.parametrize(
    ("name", "backward", "symbols"),
    [
        slow_unless(
            (name, backward, symbols) in (("LSTM", "fused", "t, b"), ("GRU", "autodiff", "b")),
            *(name, backward, symbols),
        )
        for name in ("LSTM", "GRU")
        for backward in ("fused", "autodiff")
        for symbols in ("b", "t", "t, b")
    ],
)
def test_forward_and_gradient(x64, name, backward, symbols):
    cell = getattr(rnnjax, name)(4, param_dtype=jnp.float64)
    sizes = dict(zip(symbols.split(", "), export.symbolic_shape(symbols), strict=True))
    steps, batch = sizes.get("t", STEPS), sizes.get("b", BATCH)

    @jax.jit
    def loss(params, xs, lengths):
        final, states = rnnjax.unroll(cell, params, xs, lengths=lengths, backward=backward)
        return jnp.sin(states.h).sum() + (final.h**2).sum()

    arguments = make_params(cell), make_inputs(cell, (BATCH,), STEPS), LENGTHS
    like = (
        arguments[0],
        jax.ShapeDtypeStruct((steps, batch, INPUTS), jnp.float64),
        jax.ShapeDtypeStruct((batch,), LENGTHS.dtype),
    )
    exported, of_gradient = export.export(loss)(*like), export.export(jax.jit(jax.grad(loss, (0, 1))))(*like)
    expected = jax.jit(jax.grad(loss, (0, 1)))(*arguments)
    assert_close(exported.call(*arguments), loss(*arguments), 1e-13)
    assert_close(of_gradient.call(*arguments), expected, 1e-13)
    assert_close(jax.jit(jax.grad(exported.call, (0, 1)))(*arguments), expected, 1e-13)
    assert exported.in_avals[-1].shape == (batch,)


def test_a_module_is_stored_and_read_back():
    model = rnnjax.RNN(rnnjax.LSTM(4))
    xs = make_inputs(rnnjax.LSTM(4), (BATCH,), STEPS)
    params = model.init(jax.random.key(0), xs)

    def outputs(params, xs):
        return model.apply(params, xs)[1]

    (batch,) = export.symbolic_shape("b")
    stored = export.export(jax.jit(outputs))(params, jax.ShapeDtypeStruct((batch, BATCH, INPUTS), xs.dtype))
    read = export.deserialize(stored.serialize())
    assert_close(read.call(params, xs), jax.jit(outputs)(params, xs), 1e-6)
