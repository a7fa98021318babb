"""Taps of cells whose step makes its state inside of jit, checkpoint or cond, or inside of what cannot be opened."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import normal_like

import rnnjax
from rnnjax.core.unroll import unroll_with_outputs

STEPS, BATCH = 4, 2
NUMBERS = normal_like(jax.ShapeDtypeStruct((STEPS, BATCH, 1), jnp.float32), 0)


class Memory(NamedTuple):
    c: jax.Array


class Output(NamedTuple):
    h: jax.Array


def conditional(step):
    return lambda c, x: jax.lax.cond(x.sum() > 0, step, step, c, x)


def made_before_a_branch(step):
    """The step in both branches; in the second one its state is made before."""

    def either(c, x):
        def second(c, x, new):
            return new, jnp.tanh(new)

        return jax.lax.cond(x.sum() > 0, lambda c, x, new: step(c, x), second, c, x, 0.5 * c + x)

    return either


def own_derivative(step):
    own = jax.custom_vjp(step)
    own.defvjp(lambda c, x: jax.vjp(step, c, x), lambda pull, cts: pull(cts))
    return own


def inner_scan(step):
    """Two steps in one, the first of them without input."""

    def both(c, x):
        new, ys = jax.lax.scan(step, c, jnp.stack([jnp.zeros_like(x), x]))
        return new, ys[-1]

    return both


def output_apart(step):
    """The output computed by a function of its own from the state, which it also passes on."""
    return lambda c, x: jax.jit(lambda c: (c, jnp.tanh(c)))(0.5 * c + x)


WRAPPED = {
    "plain": lambda step: step,
    "jit": jax.jit,
    "checkpoint": jax.checkpoint,
    "jit of checkpoint": lambda step: jax.jit(jax.checkpoint(step)),
    "checkpoint of cond": lambda step: jax.checkpoint(made_before_a_branch(step)),
    "cond": conditional,
    "made before a branch": made_before_a_branch,
    "output apart": output_apart,
}
NOT_OPENED = {
    "jax.custom_vjp": own_derivative,
    "lax.scan": inner_scan,
}


@dataclasses.dataclass(frozen=True)
class Leaky(rnnjax.Cell):
    """c_t = 0.5·c_{t-1} + x_t,  y_t = tanh(c_t), in a function that is ``wrapped``; c_t is y_t where ``visible``."""

    wrapped: str = "plain"
    visible: bool = False
    made_in: str | None = None  # the dtype in which c is made

    def init(self, key, in_features):
        return {"unit": jnp.ones(self.features, self.state_dtype)}

    def initial_state(self, batch_shape=()):
        return (Output if self.visible else Memory)(jnp.zeros((*batch_shape, self.features), self.state_dtype))

    def step(self, params, state, x_t):
        def step(c, x):
            c = 0.5 * c + x
            return c, c if self.visible else jnp.tanh(c)

        x, dtype = x_t * params["unit"][None], self.made_in or self.state_dtype
        c, y = (WRAPPED | NOT_OPENED)[self.wrapped](step)(state[0].astype(dtype), x.astype(dtype))
        return type(state)(c), y


def of_taps(cell, lengths=None):
    """∂(Σ of all outputs)/∂taps, (T, B, 1)."""
    params, xs = cell.init(None, 1), NUMBERS.astype(cell.state_dtype)

    def loss(taps):
        return unroll_with_outputs(cell, params, xs, lengths=lengths, taps=taps)[2].astype(cell.state_dtype).sum()

    return jax.grad(loss)(cell.initial_state((STEPS, BATCH)))[0]


def by_hand(lengths=None, slope=lambda c: 1 - np.tanh(c) ** 2):
    """∂L/∂c_t = tanh'(c_t) + 0.5·∂L/∂c_{t+1}."""
    xs, c = np.asarray(NUMBERS, np.float64), np.zeros((STEPS, BATCH, 1))
    for t in range(STEPS):
        c[t] = xs[t] + (0.5 * c[t - 1] if t else 0)
    total = np.zeros((STEPS + 1, BATCH, 1))
    for t in reversed(range(STEPS)):
        valid = (t < np.array([STEPS] * BATCH if lengths is None else lengths))[:, None]
        total[t] = np.where(valid, slope(c[t]) + 0.5 * total[t + 1], 0)
    return total[:-1]


def close(actual, expected, tolerance):
    np.testing.assert_allclose(np.asarray(actual, np.float64), expected, tolerance, tolerance)


@pytest.mark.parametrize("lengths", [None, np.array([4, 2])])
@pytest.mark.parametrize("wrapped", WRAPPED)
def test_taps_are_total_derivatives(x64, wrapped, lengths):
    actual = of_taps(Leaky(1, wrapped=wrapped, param_dtype=jnp.float64), lengths)
    close(actual, by_hand(lengths), 1e-12)


@pytest.mark.parametrize("wrapped", ["plain", "checkpoint"])
def test_taps_of_states_that_are_made_in_a_narrower_dtype(wrapped):
    actual = of_taps(Leaky(1, wrapped=wrapped, made_in="bfloat16"))
    assert actual.dtype == jnp.float32
    close(actual, by_hand(), 0.02)


@pytest.mark.parametrize("made_in", [None, "bfloat16"])
@pytest.mark.parametrize("wrapped", ["checkpoint", "cond", "jax.custom_vjp"])
def test_a_field_h_that_is_the_output(wrapped, made_in):
    actual = of_taps(Leaky(1, wrapped=wrapped, visible=True, made_in=made_in))
    close(actual, by_hand(slope=np.ones_like), 1e-6)


@pytest.mark.parametrize("wrapped", ["jit", "checkpoint", "cond"])
def test_gradients_of_ragged_examples_are_measured_where_the_state_is_made(wrapped):
    lengths = np.array([4, 2])
    model = rnnjax.RNN(Leaky(1, wrapped=wrapped), time_major=True)
    params = model.init(jax.random.key(0), NUMBERS)

    def loss(params, xs):
        return model.apply(params, xs, lengths=lengths)[1].sum((0, 2))

    norms = rnnjax.gradient_flow(loss, params, NUMBERS, lengths=lengths).norms
    expected = np.where(np.arange(STEPS)[:, None] < lengths, by_hand(lengths)[..., 0], np.nan)
    close(norms["RNN"], expected, 1e-5)


@pytest.mark.parametrize("wrapped", NOT_OPENED)
def test_a_state_that_cannot_be_tapped_before_it_is_read(wrapped):
    cell = Leaky(1, wrapped=wrapped)
    message = (
        rf"^step makes new\.c of Leaky inside of {wrapped} and computes another result from it there, where no tap can "
        r"be added to it; compute that result after it, or leave out taps"
    )
    with pytest.raises(ValueError, match=message):
        of_taps(cell)
    final, _ = rnnjax.unroll(cell, cell.init(None, 1), NUMBERS, lengths=np.array([4, 2]))
    assert np.isfinite(final.c).all()


class Pair(NamedTuple):
    a: jax.Array
    b: jax.Array


@dataclasses.dataclass(frozen=True)
class Split(rnnjax.Cell):
    """Two states out of one equation, neither of which is computed from the other; y = relu(a)·b."""

    def init(self, key, in_features):
        return {}

    def initial_state(self, batch_shape=()):
        return Pair(*[jnp.zeros((*batch_shape, self.features), self.state_dtype)] * 2)

    def step(self, params, state, x_t):
        both = jnp.concatenate([state.a + x_t, state.b - x_t], axis=-1)
        a, b = jnp.split(both, 2, axis=-1)
        return Pair(a, b), jax.nn.relu(a) * b


def test_two_states_of_one_equation():
    zeros = Split(1).initial_state((1, 1))
    x = jnp.full((1, 1, 1), 2.0)
    taps = jax.grad(lambda taps: unroll_with_outputs(Split(1), {}, x, taps=taps)[2].sum())(zeros)
    assert [a.item() for a in taps] == [-2, 2]
