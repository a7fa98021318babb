"""Networks of Flax, Equinox and Haiku, unchanged: the gradient of each step equals one computed in another way."""

from functools import partial

import equinox as eqx
import flax.linen as nn
import flax.nnx as nnx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax_cells import CELLS
from sequences import normal_like, slow_unless

import rnnjax

B, T, D = 3, 7, 2


@pytest.fixture(autouse=True)
def _x64(x64):
    return x64


def inputs(seed=0, shape=(B, T, D)):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("name", [slow_unless(name in ("LSTMCell", "GRUCell"), name) for name in CELLS])
def test_flax_cells_have_the_gradients_of_ours(name):
    flax_cell, convert = CELLS[name]
    model, xs = nn.RNN(flax_cell, return_carry=True), inputs()
    params = normal_like(jax.eval_shape(model.init, jax.random.key(0), xs)["params"], 1, 0.5)

    def loss(params, xs):
        carry, ys = model.apply({"params": params}, xs)
        return jnp.sin(ys).sum() + sum((a**2).sum() for a in jax.tree.leaves(carry))

    tapped, taps, (site,) = rnnjax.observe(loss)(params, xs)
    assert tapped(taps, params, xs) == loss(params, xs)
    found = jax.jit(jax.grad(tapped))(taps, params, xs)[site.name]

    cell, ours = convert(params)

    def native(taps):
        final, states = rnnjax.unroll(cell, ours, jnp.swapaxes(xs, 0, 1), taps=taps)
        return jnp.sin(states.h).sum() + sum((a**2).sum() for a in jax.tree.leaves(final))

    zeros = cell.initial_state((T, B))
    np.testing.assert_allclose(native(zeros), loss(params, xs), rtol=1e-13)
    expected = jax.jit(jax.grad(native))(zeros)
    by_flax = (expected.c, expected.h) if len(found) == 2 else (expected.h,)
    for a, b in zip(found, by_flax, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def finite_difference(tapped, taps, site, args):
    """∂L/∂tap at a few places, by central differences."""
    rng = np.random.default_rng(0)
    for k, tap in enumerate(taps[site.name]):
        if tap is None:
            continue
        for _ in range(3):
            index = tuple(int(rng.integers(n)) for n in tap.shape)

            def loss(step, k=k, index=index):
                arrays = list(taps[site.name])
                arrays[k] = arrays[k].at[index].set(step)
                return float(tapped({**taps, site.name: tuple(arrays)}, *args))

            yield k, index, (loss(1e-5) - loss(-1e-5)) / 2e-5


def check_by_finite_differences(loss, *args):
    """Compares a few entries of every site; the loss is that of the function, bit for bit."""
    tapped, taps, sites = rnnjax.observe(loss)(*args)
    assert float(tapped(taps, *args)) == float(loss(*args))
    found = jax.jit(jax.grad(tapped))(taps, *args)
    tapped = jax.jit(tapped)
    for site in sites:
        assert site.hidden is None
        for k, index, expected in finite_difference(tapped, taps, site, args):
            np.testing.assert_allclose(found[site.name][k][index], expected, rtol=1e-6, atol=1e-9)
    return sites


@pytest.mark.slow
def test_both_directions_a_stack_and_dropout_in_flax():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, xs, lengths):
            ys = nn.Bidirectional(nn.RNN(nn.LSTMCell(3, param_dtype=float)), nn.RNN(nn.GRUCell(3, param_dtype=float)))(
                xs, seq_lengths=lengths
            )
            ys = nn.Dropout(0.4, deterministic=False)(ys)
            return nn.RNN(nn.SimpleCell(3, param_dtype=float))(ys)[:, -1]

    model, xs, lengths = Model(), inputs(), np.array([7, 4, 1])
    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    params = normal_like(jax.eval_shape(model.init, rngs, xs, lengths), 1, 0.5)

    def loss(params, xs):
        return (model.apply(params, xs, lengths, rngs={"dropout": jax.random.key(2)}) ** 2).sum()

    names = [site.name for site in check_by_finite_differences(loss, params, xs)]
    assert names == ["Model/Bidirectional_0/RNN_0", "Model/Bidirectional_0/RNN_1", "Model/RNN_2"]


def test_nnx():
    model = nnx.RNN(nnx.LSTMCell(D, 3, rngs=nnx.Rngs(0), param_dtype=float, dtype=float))
    graph, state = nnx.split(model)

    def loss(state, xs):
        return (nnx.merge(graph, state)(xs)[:, -1] ** 2).sum()

    (site,) = check_by_finite_differences(loss, state, inputs())
    assert (site.length, [a.shape for a in site.carry]) == (T, [(B, 3), (B, 3)])


def test_equinox():
    cell = eqx.nn.GRUCell(D, 3, key=jax.random.key(0), dtype=float)

    def loss(cell, xs):
        def run(xs):
            final, _ = jax.lax.scan(lambda h, x: (cell(x, h), None), jnp.zeros(3), xs)
            return (final**2).sum()

        return jax.vmap(run)(xs).sum()

    arrays, rest = eqx.partition(cell, eqx.is_array)
    (site,) = check_by_finite_differences(lambda a, xs: loss(eqx.combine(a, rest), xs), arrays, inputs())
    assert site.name.startswith("test_other_libraries.py:")
    assert site.carry[0].shape == (B, 3)


def test_haiku():
    @hk.without_apply_rng
    @hk.transform
    def model(xs):
        lstm = hk.LSTM(3)
        ys, _ = hk.dynamic_unroll(lstm, jnp.swapaxes(xs, 0, 1), lstm.initial_state(B))
        return ys[-1]

    params = normal_like(jax.eval_shape(model.init, jax.random.key(0), inputs()), 1, 0.5)
    (site,) = check_by_finite_differences(lambda p, xs: (model.apply(p, xs) ** 2).sum(), params, inputs())
    assert len(site.carry) == 2


def jitted_losses():
    """Losses (B,) that are compiled in the manner of each library: (name, plain, compiled, parameters)."""

    def last(ys):
        return (ys[:, -1] ** 2).sum(axis=1)

    def apply(model, params, xs):
        return last(model.apply(params, xs))

    class Compiled(nn.Module):
        @nn.compact
        def __call__(self, xs):
            return nn.jit(nn.RNN)(nn.GRUCell(3, param_dtype=float), name="rnn")(xs)

    class Plain(nn.Module):
        @nn.compact
        def __call__(self, xs):
            return nn.RNN(nn.GRUCell(3, param_dtype=float), name="rnn")(xs)

    params = normal_like(jax.eval_shape(Plain().init, jax.random.key(0), inputs()), 1, 0.5)
    plain = partial(apply, Plain())
    graph, state = nnx.split(nnx.RNN(nnx.GRUCell(D, 3, rngs=nnx.Rngs(0), param_dtype=float, dtype=float)))

    def of_nnx(state, xs):
        return last(nnx.merge(graph, state)(xs))

    arrays, rest = eqx.partition(eqx.nn.GRUCell(D, 3, key=jax.random.key(0), dtype=float), eqx.is_array)

    def of_equinox(arrays, xs):
        cell = eqx.combine(arrays, rest)
        return (jax.vmap(lambda xs: jax.lax.scan(lambda h, x: (cell(x, h), None), jnp.zeros(3), xs)[0])(xs) ** 2).sum(1)

    return {
        "jax.jit": (plain, jax.jit(plain), params),
        "nn.jit": (plain, partial(apply, Compiled()), params),
        "nnx.jit": (of_nnx, nnx.jit(of_nnx), state),
        "eqx.filter_jit": (of_equinox, eqx.filter_jit(of_equinox), arrays),
    }


@pytest.mark.slow
@pytest.mark.parametrize("how", ["jax.jit", "nn.jit", "nnx.jit", "eqx.filter_jit"])
def test_a_loss_that_is_compiled_already_is_seen_into_like_any_other(how):
    plain, compiled, params = jitted_losses()[how]
    compiled(params, inputs())  # JAX keeps the program of this call
    found = []
    for loss in (plain, compiled):
        tapped, taps, (site,) = rnnjax.observe(loss)(params, inputs())
        gradients = jax.grad(lambda *args, tapped=tapped: tapped(*args).sum())(taps, params, inputs())
        found.append(gradients[site.name][0])
        assert site.hidden is None
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12)
    flow = rnnjax.gradient_flow(compiled, params, inputs())
    np.testing.assert_allclose(flow.norms[site.name], np.linalg.norm(found[0], axis=-1), rtol=1e-10)
    assert [layer.cell for layer in rnnjax.diagnose(compiled, params, inputs(), compiled).diagnosis.layers] == [
        "scan" if how == "eqx.filter_jit" else "GRUCell"
    ]
