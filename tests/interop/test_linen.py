"""flax.linen's own numbers from its imported weights, and what cannot be imported."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from origins import Origin, assert_answers_alike
from sequences import normal_like, slow_unless

import rnnjax
from rnnjax.interop import from_linen

B, T, D, H = 2, 6, 3, 4
CELLS = {
    "SimpleCell": (nn.SimpleCell(H), rnnjax.SimpleRNN(H)),
    "SimpleCell relu": (nn.SimpleCell(H, activation_fn=nn.relu), rnnjax.SimpleRNN(H, activation="relu")),
    "LSTMCell": (nn.LSTMCell(H), rnnjax.LSTM(H)),
    "OptimizedLSTMCell": (nn.OptimizedLSTMCell(H), rnnjax.LSTM(H)),
    "GRUCell": (nn.GRUCell(H), rnnjax.GRU(H)),
}


SIMPLE = {"activation": "tanh", "residual": False}
OPTIONS = {"SimpleCell": SIMPLE, "SimpleCell relu": SIMPLE | {"activation": "relu"}}


def weights_of(cell):
    """Parameters of ``nn.RNN(cell)``, none of them zero."""
    shapes = jax.eval_shape(nn.RNN(cell).init, jax.random.key(0), np.zeros((B, T, D), np.float32))
    return normal_like(shapes["params"], 1, 0.5)


def ask(cell):
    """Weights, answers and gradients of flax itself."""
    xs, phases = (normal_like(jax.ShapeDtypeStruct((B, T, size), jnp.float32), size) for size in (D, H))

    @jax.jit
    def answer(weights):
        def loss(weights):
            ys = nn.RNN(cell).apply({"params": weights}, xs)
            return jnp.sin(ys + phases).sum(), ys

        return jax.grad(loss, has_aux=True)(weights)

    weights = weights_of(cell)
    gradients, ys = answer(weights)
    return Origin(xs, phases, ys, weights, gradients)


@pytest.mark.parametrize(
    "name", [slow_unless(name in ("SimpleCell relu", "LSTMCell", "GRUCell"), name) for name in CELLS]
)
def test_outputs_and_gradients_are_those_of_flax(name):
    """The GRU's b_h for r and u, which flax does not have, is a second bias beside b: it has the gradient of b."""
    cell, expected = CELLS[name]
    origin = ask(cell)
    options = OPTIONS.get(name, {})
    module, params = from_linen(origin.weights, **options)
    assert module == rnnjax.RNN(expected)
    _, converted = from_linen(origin.gradients, **options)
    if name == "GRUCell":
        b, b_h = converted["cell"]["b"], converted["cell"]["b_h"]
        assert not np.any(params["cell"]["b_h"][: 2 * H])
        converted["cell"]["b_h"] = jnp.concatenate([b[: 2 * H], b_h[2 * H :]])
    assert_answers_alike(module, params, origin, converted)


@pytest.mark.parametrize("nest", [lambda p: p["cell"], lambda p: p, lambda p: {"params": {"LSTMCell_0": p["cell"]}}])
def test_a_cell_is_found_below_names_that_stand_alone(nest):
    weights = weights_of(nn.LSTMCell(H))
    jax.tree.map(np.testing.assert_array_equal, from_linen(nest(weights)), from_linen(weights))


@pytest.mark.parametrize("name", ["SimpleCell", "LSTMCell", "OptimizedLSTMCell", "GRUCell"])
def test_cells_of_nnx(nnx, name):
    """As the state of the cell or of ``nnx.RNN`` around it, or as a dict of arrays."""
    theirs = nnx.RNN(getattr(nnx, name)(D, H, rngs=nnx.Rngs(0)))
    weights = normal_like(nnx.to_pure_dict(nnx.state(theirs, nnx.Param)), 1, 0.5)
    state = nnx.state(theirs, nnx.Param)
    nnx.replace_by_pure_dict(state, weights)
    nnx.update(theirs, state)
    xs = normal_like(jax.ShapeDtypeStruct((B, T, D), jnp.float32), 2)
    module, params = from_linen(state, **OPTIONS.get(name, {}))
    assert module == rnnjax.RNN(CELLS[name][1])
    np.testing.assert_allclose(module.apply({"params": params}, xs)[1], theirs(xs), atol=1e-6)
    for given in (weights, weights["cell"], nnx.state(theirs.cell, nnx.Param)):
        jax.tree.map(np.testing.assert_array_equal, from_linen(given, **OPTIONS.get(name, {}))[1], params)


def changed(cell, **changes):
    """The cell's parameters with some dense layers replaced."""
    return weights_of(cell)["cell"] | changes


KERNEL, BIAS = np.zeros((H, H), np.float32), np.zeros(H, np.float32)


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        (
            weights_of(nn.MGUCell(H)),
            {},
            "No cell .*SimpleCell, LSTMCell, GRUCell.* has the parameters 'hf', 'hn', 'if'",
        ),
        ({}, {}, "has the parameters of an empty dict; give those of one cell"),
        ({"a": changed(nn.GRUCell(H)), "b": changed(nn.GRUCell(H))}, {}, "has the parameters 'a', 'b'"),
        (changed(nn.LSTMCell(H), hf={"kernel": KERNEL}), {}, "look like flax's LSTMCell, but they lack hf/bias"),
        (changed(nn.LSTMCell(H), hi={"bias": BIAS}), {}, "look like flax's LSTMCell, but they lack hi/kernel"),
        (changed(nn.SimpleCell(H), i=KERNEL), SIMPLE, "flax's SimpleCell, but they lack i/bias, i/kernel"),
        (changed(nn.GRUCell(H), hr={"kernel": KERNEL, "bias": BIAS}), {}, "GRUCell, but they also hold hr/bias"),
        (
            changed(nn.GRUCell(H), hr={"kernel": KERNEL[:3]}),
            {},
            r"hr/kernel has shape \(4, 4\), but \(3, 4\) was given",
        ),
        (
            changed(nn.GRUCell(H)),
            {"activation": "relu"},
            "GRU has the activation tanh only, so weights trained with 'relu'",
        ),
        (
            changed(nn.SimpleCell(H, residual=True)),
            {"activation": "tanh"},
            "SimpleCell do not say its activation_fn and residual; give activation='tanh'.*'relu', and residual=Fals",
        ),
        (changed(nn.SimpleCell(H)), {"residual": False}, "SimpleCell do not say its activation_fn and residual;"),
        (
            changed(nn.SimpleCell(H, residual=True)),
            {"activation": "tanh", "residual": True},
            "residual=True adds h to its products, which rnnjax's SimpleRNN does not; it cannot be imported",
        ),
        ({"dense_i": {"kernel": KERNEL}, "dense_h": BIAS}, {}, "dense_h/kernel must hold floating-point numbers, got"),
        (
            {"dense_i": {"kernel": KERNEL}, "dense_h": {"kernel": np.zeros((H, 2 * H), np.float32)}},
            {},
            r"dense_h/kernel has shape \(4, 8\), but one side must be 1, 3 or 4 times the other",
        ),
        (
            {"dense_i": {"kernel": KERNEL}, "dense_h": {"kernel": np.zeros((H, 3 * H), np.float32)}},
            {},
            "look like flax's nnx.GRUCell, but they lack dense_i/bias",
        ),
        (changed(nn.SimpleCell(H)), SIMPLE | {"activation": "elu"}, "activation must be one of tanh, relu, got 'elu'"),
    ],
)
def test_what_cannot_be_imported_is_named(weights, options, message):
    with pytest.raises(ValueError, match=message):
        from_linen(weights, **options)
