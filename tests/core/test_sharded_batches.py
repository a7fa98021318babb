"""A batch that the user has divided over eight devices, under plain jit: as on one device, and nothing is gathered."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from sequences import assert_close, make_inputs, make_params, normal_like, slow_unless, zero_taps

import rnnjax

pytestmark = pytest.mark.slow

BATCH, STEPS, FEATURES, INPUTS = 16, 24, 8, 3
LENGTHS = np.arange(BATCH) * 3 % (STEPS + 1)
KINDS = [AxisType.Auto, AxisType.Explicit]
CASES = [
    ("LSTM", {}),
    ("GRU", {}),
    ("SimpleRNN", {}),
    ("LSTM", {"store_every": 7}),
    ("GRU", {"reverse": True}),
    ("LSTM", {"backward": "autodiff"}),
    ("GRU", {"backward": "autodiff"}),
    ("MinGRU", {"backend": "associative"}),
]
QUICK = [(0, AxisType.Auto), (3, AxisType.Explicit), (6, AxisType.Auto), (7, AxisType.Explicit)]


def make_mesh(kind):
    return jax.make_mesh((8,), ("batch",), axis_types=(kind,))


def divided(mesh, a, axis):
    return jax.device_put(a, NamedSharding(mesh, P(*[None] * axis, "batch")))


def whole(mesh, tree):
    return jax.device_put(tree, NamedSharding(mesh, P()))


def make_case(name, batch_shape):
    cell = getattr(rnnjax, name)(FEATURES, param_dtype=jnp.float64)
    data = {
        "xs": make_inputs(cell, batch_shape, STEPS),
        "taps": zero_taps(cell, batch_shape, STEPS),
        "lengths": jnp.asarray(np.resize(LENGTHS, batch_shape)),
    }
    return cell, make_params(cell), data


def gradient(cell, options, params, data):
    def loss(params, xs, taps):
        results = rnnjax.unroll(cell, params, xs, taps=taps, lengths=data["lengths"], **options)
        return sum(jnp.sum(jnp.sin(a)) for a in jax.tree.leaves(results))

    return jax.value_and_grad(loss, (0, 1, 2))(params, data["xs"], data["taps"])


@functools.cache
def on_one_device(case):
    """The gradient of ``CASES[case]``."""
    name, options = CASES[case]
    cell, params, data = make_case(name, (BATCH,))
    return jax.device_get(jax.jit(functools.partial(gradient, cell, options))(params, data))


def assert_nothing_is_gathered(compiled):
    text = compiled.as_text()
    assert "all-reduce" in text  # of the parameters' gradients: the program is divided
    assert not re.findall(r"\S+ = \S+ (?:all-gather|all-to-all|collective-permute)\S*\(", text)


@pytest.mark.parametrize(
    ("case", "kind"),
    [slow_unless((case, kind) in QUICK, case, kind) for case in range(len(CASES)) for kind in KINDS],
    ids=[f"{name}-{options}-{kind}" for name, options in CASES for kind in KINDS],
)
def test_equals_one_device_and_gathers_nothing(x64, set_chunk_length, case, kind):
    set_chunk_length(4)
    name, options = CASES[case]
    cell, params, data = make_case(name, (BATCH,))
    mesh = make_mesh(kind)
    axes = {"xs": 1, "taps": 1, "lengths": 0}
    shards = {key: jax.tree.map(lambda a, k=key: divided(mesh, a, axes[k]), data[key]) for key in data}
    arguments = whole(mesh, params), shards
    compiled = jax.jit(functools.partial(gradient, cell, options)).lower(*arguments).compile()
    assert_close(jax.device_get(compiled(*arguments)), on_one_device(case), 1e-12)
    assert_nothing_is_gathered(compiled)


@pytest.mark.parametrize("kind", [slow_unless(kind is AxisType.Explicit, kind) for kind in KINDS], ids=str)
def test_two_batch_axes(x64, kind):
    cell, params, data = make_case("LSTM", (BATCH, 2))
    expected = jax.device_get(jax.jit(functools.partial(gradient, cell, {}))(params, data))
    mesh = make_mesh(kind)
    shards = data | {"xs": divided(mesh, data["xs"], 1), "taps": whole(mesh, data["taps"])}
    shards["lengths"] = whole(mesh, data["lengths"])
    jitted = jax.jit(functools.partial(gradient, cell, {}))
    assert_close(jax.device_get(jitted(whole(mesh, params), shards)), expected, 1e-12)


@pytest.mark.parametrize("kind", [slow_unless(kind is AxisType.Auto, kind) for kind in KINDS], ids=str)
def test_state_lengths_and_masks_that_are_whole_are_divided_as_the_inputs_are(x64, kind):
    cell, params, data = make_case("GRU", (BATCH,))
    dropping = cell.replace(input_dropout=0.3, recurrent_dropout=0.3, zoneout=0.2)
    given = {
        "state": normal_like(cell.initial_state((BATCH,)), 7),
        "lengths": data["lengths"],
        "dropout": dropping.dropout_masks(jax.random.key(1), jnp.arange(BATCH), INPUTS, STEPS),
    }
    run = jax.jit(functools.partial(rnnjax.unroll, dropping))
    expected = jax.device_get(run(params, data["xs"], **given))
    mesh = make_mesh(kind)
    final, states = run(whole(mesh, params), divided(mesh, data["xs"], 1), **whole(mesh, given))
    assert_close(jax.device_get((final, states)), expected, 1e-12)
    assert states.h.sharding.spec == P(None, "batch", None) or kind is AxisType.Auto


@pytest.mark.parametrize("kind", [slow_unless(kind is AxisType.Explicit, kind) for kind in KINDS], ids=str)
def test_modules_on_a_mesh(x64, kind):
    cell = rnnjax.LSTM(FEATURES, param_dtype=jnp.float64)
    both = rnnjax.Bidirectional(rnnjax.RNN(cell), rnnjax.RNN(cell, reverse=True))
    model = rnnjax.Stack([both, rnnjax.RNN(cell)], layer_norm=True)
    xs = normal_like(jax.ShapeDtypeStruct((BATCH, STEPS, INPUTS), jnp.float64), 2)
    params = jax.jit(model.init)(jax.random.key(0), xs)
    apply = jax.jit(lambda params, xs, lengths: model.apply(params, xs, lengths=lengths))
    expected = jax.device_get(apply(params, xs, jnp.asarray(LENGTHS)))
    mesh = make_mesh(kind)
    lengths = divided(mesh, jnp.asarray(LENGTHS), 0)
    actual = apply(whole(mesh, params), divided(mesh, xs, 0), lengths)
    assert_close(jax.device_get(actual), expected, 1e-12)
