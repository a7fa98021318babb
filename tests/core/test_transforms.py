"""``unroll`` under jit, vmap, pmap, shard_map, forward mode and second derivatives.

The LSTM is additive and has a memory besides h, the GRU is neither: together they take every branch of the scans.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from sequences import (
    CELLS,
    LENGTHS,
    assert_close,
    make_inputs,
    make_params,
    make_state,
    normal_like,
    slow_unless,
    zero_taps,
)

import rnnjax

pytestmark = pytest.mark.slow

NAMES = ["LSTM", "GRU"]
BATCH_AXES = {"xs": 1, "taps": 1, "state": 0, "lengths": 0}


def make_loss(cell, axis=None, **options):
    """``loss(params, data)``: a mean over the examples that reads every state; a mean over ``axis``, too, if given."""

    def loss(params, data):
        final, states = rnnjax.unroll(cell, params, **data, **options)
        value = jnp.mean(jnp.sin(final.h)) + jnp.mean(states.h**2)
        return value if axis is None else jax.lax.pmean(value, axis)

    return loss


def make_data(cell):
    """Inputs, taps, initial state and lengths of four examples."""
    return {
        "xs": make_inputs(cell, (4,)),
        "taps": zero_taps(cell, (4,)),
        "state": make_state(cell, (4,)),
        "lengths": jnp.array(LENGTHS),
    }


def gradients(cell, params, data, axis=None, **options):
    """Gradients with respect to the parameters and to the taps."""

    def loss(params, taps):
        return make_loss(cell, axis, **options)(params, data | {"taps": taps})

    return jax.grad(loss, (0, 1))(params, data["taps"])


@functools.cache
def single_device_gradients(name):
    cell = CELLS[name]
    return jax.device_get(jax.jit(functools.partial(gradients, cell))(make_params(cell), make_data(cell)))


@pytest.mark.slow
def test_without_jit(x64):
    cell = CELLS["LSTM"]
    assert_close(gradients(cell, make_params(cell), make_data(cell)), single_device_gradients("LSTM"), 1e-13)


@pytest.mark.parametrize(
    ("name", "backward"),
    [("LSTM", "fused"), slow_unless(False, "GRU", "fused"), slow_unless(False, "LSTM", "autodiff")],
)
def test_vmap_over_examples_equals_the_batch(x64, name, backward):
    """Losses of single examples: their gradients' mean is the batch's, their tap gradients are 4 times the batch's."""
    cell = CELLS[name]
    each = jax.vmap(functools.partial(gradients, cell, backward=backward), (None, BATCH_AXES), (0, 1))
    d_params, d_taps = jax.jit(each)(make_params(cell), make_data(cell))
    actual = jax.tree.map(lambda a: a.mean(0), d_params), jax.tree.map(lambda a: a / 4, d_taps)
    assert_close(actual, single_device_gradients(name), 1e-13)


@pytest.mark.parametrize("name", ["LSTM", slow_unless(False, "GRU")])
def test_vmap_over_parameters_is_one_run_per_seed(x64, name):
    cell, data = CELLS[name], make_data(CELLS[name])
    seeds = [make_params(cell, seed=seed) for seed in (0, 10, 20)]
    run = functools.partial(gradients, cell)
    each = [jax.jit(run)(params, data) for params in seeds]
    together = jax.jit(jax.vmap(run, (0, None)))(jax.tree.map(lambda *a: jnp.stack(a), *seeds), data)
    assert_close(together, jax.tree.map(lambda *a: jnp.stack(a), *each), 1e-13)


@pytest.mark.parametrize("name", ["LSTM", slow_unless(False, "GRU")])
def test_pmap_equals_one_device(x64, name):
    cell = CELLS[name]
    data = {
        key: jax.tree.map(lambda a, k=key: jnp.stack(jnp.split(a, 2, BATCH_AXES[k])), value)
        for key, value in make_data(cell).items()
    }

    def run(params, data):
        d_params, d_taps = gradients(cell, params, data)
        return jax.lax.pmean(d_params, "devices"), d_taps

    devices = jax.devices()[:2]
    d_params, d_taps = jax.pmap(run, "devices", in_axes=(None, 0), devices=devices)(make_params(cell), data)
    expected, expected_taps = single_device_gradients(name)
    for device in range(2):
        assert_close(jax.tree.map(lambda a, d=device: np.asarray(a)[d], d_params), expected, 1e-13)
    joined = jax.tree.map(lambda a: np.concatenate(np.asarray(a), axis=1) / 2, d_taps)
    assert_close(joined, expected_taps, 1e-13)


def two_devices():
    return jax.make_mesh((2,), ("devices",), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("GRU", {}),
        ("LSTM", {"store_every": 3}),
        slow_unless(False, "LSTM", {}),
        slow_unless(False, "LSTM", {"backward": "autodiff"}),
    ],
)
def test_shard_map_equals_one_device(x64, name, options):
    """With JAX's check of axes that vary (``check_vma``): parameters replicated, the batch split in two."""
    assert_close(two_device_gradients(name, options), single_device_gradients(name), 1e-13)


@pytest.mark.parametrize("name", ["LSTM", slow_unless(False, "GRU")])
def test_shard_map_in_chunks(x64, set_chunk_length, name):
    expected = single_device_gradients(name)  # in one chunk
    set_chunk_length(2)
    assert_close(two_device_gradients(name, {}), expected, 1e-13)


def two_device_gradients(name, options):
    cell = CELLS[name]
    over_batch = {key: P(*[None] * axis, "devices") for key, axis in BATCH_AXES.items()}
    sharded = jax.shard_map(
        functools.partial(gradients, cell, axis="devices", **options),
        mesh=two_devices(),
        in_specs=(P(), over_batch),
        out_specs=(P(), over_batch["taps"]),
    )
    return jax.device_get(jax.jit(sharded)(make_params(cell), make_data(cell)))


def test_shard_map_without_an_initial_state(x64):
    """The zeros that ``unroll`` makes as the initial state must vary over the devices as the inputs do."""
    cell = CELLS["LSTM"]
    params, xs = make_params(cell), make_inputs(cell, (4,))
    sharded = jax.shard_map(
        functools.partial(rnnjax.unroll, cell),
        mesh=two_devices(),
        in_specs=(P(), P(None, "devices")),
        out_specs=(P("devices"), P(None, "devices")),
    )
    actual = jax.device_get(jax.jit(sharded)(params, xs))
    assert_close(actual, jax.device_get(rnnjax.unroll(cell, params, xs)), 1e-14)


def test_dropout_of_a_split_batch_equals_that_of_the_whole():
    """Drawn by ``rows``: under shard_map with ``check_vma``, under pmap, and under vmap over keys."""
    cell = rnnjax.GRU(5, input_dropout=0.4, recurrent_dropout=0.4)
    model = rnnjax.Stack([rnnjax.RNN(cell), rnnjax.RNN(cell)], dropout=0.4)
    xs, rows, keys = normal_like(jnp.zeros((8, 4, 3)), 1), jnp.arange(8), jax.random.split(jax.random.key(3))
    params = jax.jit(model.init)(keys[0], xs)

    def run(xs, rows, key):
        return model.apply(params, xs, train=True, rows=rows, rngs={"dropout": key})[1]

    whole = jax.device_get(jax.jit(run)(xs, rows, keys[1]))
    sharded = jax.shard_map(run, mesh=two_devices(), in_specs=(P("devices"), P("devices"), P()), out_specs=P("devices"))
    assert_close(jax.device_get(jax.jit(sharded)(xs, rows, keys[1])), whole, 1e-6)
    halves = jax.tree.map(lambda a: a.reshape(2, 4, *a.shape[1:]), (xs, rows))
    mapped = jax.pmap(run, in_axes=(0, 0, None), devices=jax.devices()[:2])(*halves, keys[1])
    assert_close(np.asarray(mapped).reshape(whole.shape), whole, 1e-6)
    ensemble = jax.device_get(jax.jit(jax.vmap(run, (None, None, 0)))(xs, rows, keys))
    assert_close(ensemble[1], whole, 1e-6)
    assert np.all(np.max(np.abs(ensemble[0] - whole), axis=(1, 2)) > 1e-3)


@pytest.mark.parametrize("name", ["LSTM", slow_unless(False, "GRU")])
def test_autodiff_has_forward_mode_and_second_derivatives(x64, name):
    """A directional derivative against the fused gradient, a Hessian product against finite differences of it."""
    cell = CELLS[name]
    params, data, epsilon = make_params(cell), make_data(cell), 1e-6
    direction = normal_like(params, 13)

    @jax.jit
    def slope_and_hessian_product(params):
        def slope(params):
            loss = make_loss(cell, backward="autodiff")
            return jax.jvp(lambda p: loss(p, data), (params,), (direction,))[1]

        return jax.value_and_grad(slope)(params)

    fused = jax.jit(lambda params: gradients(cell, params, data)[0])
    slope, hessian_product = slope_and_hessian_product(params)
    dots = jax.tree.map(jnp.vdot, single_device_gradients(name)[0], direction)
    assert_close(slope, sum(jax.tree.leaves(dots)), 1e-12)
    ahead = fused(jax.tree.map(lambda p, d: p + epsilon * d, params, direction))
    behind = fused(jax.tree.map(lambda p, d: p - epsilon * d, params, direction))
    differences = jax.tree.map(lambda a, b: (a - b) / (2 * epsilon), ahead, behind)
    assert_close(hessian_product, differences, 1e-7)


PUSHES = {
    "jvp": lambda loss, params: jax.jvp(loss, (params,), (params,))[1],
    "jit of jvp": lambda loss, params: jax.jit(lambda p: jax.jvp(loss, (p,), (p,))[1])(params),
    "jvp of vmap": lambda loss, params: jax.jvp(
        jax.vmap(loss), *[(jax.tree.map(lambda a: a[None], params),)] * 2
    )[1][0],
    "jacfwd": lambda loss, params: sum(
        jnp.vdot(a, b) for a, b in zip(*map(jax.tree.leaves, (jax.jacfwd(loss)(params), params)), strict=True)
    ),
}  # fmt: skip
QUICK = [("jvp", "LSTM"), ("jit of jvp", "GRU"), ("jvp of vmap", "LSTM"), ("jacfwd", "GRU")]


@pytest.mark.parametrize(
    ("how", "name"),
    [
        pytest.param(how, name, marks=() if (how, name) in QUICK else pytest.mark.slow)
        for how in PUSHES
        for name in NAMES
    ],
)
def test_forward_mode_needs_no_option(x64, how, name):
    """The directional derivative along the parameters themselves, against the fused gradient."""
    cell = CELLS[name]
    params, data = make_params(cell), make_data(cell)
    dots = jax.tree.map(jnp.vdot, single_device_gradients(name)[0], params)
    assert_close(PUSHES[how](lambda p: make_loss(cell)(p, data), params), sum(jax.tree.leaves(dots)), 1e-12)


def test_fused_says_so_where_jit_hides_forward_mode():
    cell = CELLS["LSTM"].replace(param_dtype=jnp.float32)
    params, data = make_params(cell), make_data(cell)
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(jax.jit(lambda p: make_loss(cell)(p, data)), (params,), (params,))
