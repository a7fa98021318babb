"""``backend="pallas"`` equals the scan, values and gradients: its kernels run as operations of JAX here.

A slow test compiles them for a TPU, where libtpu is installed.
"""

import importlib.util
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas, topologies
from jax.sharding import AxisType, SingleDeviceSharding
from jax.sharding import PartitionSpec as P
from sequences import FEATURES, LENGTHS, STEPS, assert_close, make_case, make_inputs, make_params, total, zero_taps

import rnnjax
from rnnjax.core.pallas import first_use, kernels, scan, vmem
from rnnjax.core.taps import norm_taps

BATCH = 4
CELLS = {name: getattr(rnnjax, name)(FEATURES) for name in ("SimpleRNN", "LSTM", "GRU")}
OTHERS = {
    "LSTM with zoneout": rnnjax.LSTM(FEATURES, zoneout=0.3),
    "GRU with zoneout and dropout": rnnjax.GRU(FEATURES, zoneout=0.3, recurrent_dropout=0.2),
    "parameters of its own": rnnjax.PeepholeLSTM(FEATURES),
    "no W_h": rnnjax.IndRNN(FEATURES),
    "noise": rnnjax.CTRNN(FEATURES, sigma=0.2),
}


@pytest.fixture(autouse=True)
def blocks_of_three(monkeypatch):
    """Several blocks, and a step that is appended to fill the last one."""
    monkeypatch.setattr(vmem, "MOST_STEPS", 3)


def gradient(cell, arguments, options):
    """(gradient, (final, states)) of a loss that reads every state."""

    def loss(arguments):
        results = rnnjax.unroll(cell, **arguments, **options)
        return total(results), results

    return jax.jit(jax.grad(loss, has_aux=True))(arguments)


def check(cell, arguments, options, tolerance=1e-5):
    found = gradient(cell, arguments, options | {"backend": "pallas"})
    assert_close(found, gradient(cell, arguments, options), tolerance)


def ragged_case(name):
    return CELLS[name], *make_case(CELLS[name], (BATCH,), "state taps lengths")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("given", ["", "state taps lengths dropout"])
@pytest.mark.parametrize("name", CELLS)
def test_it_equals_the_scan(name, given, reverse):
    arguments, options = make_case(CELLS[name], (BATCH,), given)
    check(CELLS[name], arguments, options | {"reverse": reverse})


@pytest.mark.parametrize("name", OTHERS)
def test_other_elementwise_cells_with_lengths_resets_and_all_that_is_random(name):
    cell = OTHERS[name]
    arguments, options = make_case(cell, (BATCH,), "state taps lengths")
    options["resets"] = jnp.asarray(np.random.default_rng(0).random((STEPS, BATCH)) < 0.3)
    options["dropout"] = cell.dropout_masks(jax.random.key(1), jnp.arange(BATCH), arguments["xs"].shape[-1], STEPS)
    check(cell, arguments, options)


@pytest.fixture
def nothing_traced():
    """What was traced before or is traced during one test is not used in another."""

    def forget():
        first_use._error.cache_clear()
        scan._forward.clear_cache()
        scan._backward.clear_cache()

    forget()
    yield
    forget()


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_in_a_simulated_tpu_whose_memory_is_nan_at_first(nothing_traced, monkeypatch, name):
    """JAX's simulation of a TPU's copies and memories, where "interpret" alone has whole arrays."""
    from jax.experimental.pallas import tpu

    simulated = tpu.InterpretParams(uninitialized_memory="nan")
    run_kernel = pallas.pallas_call
    monkeypatch.setattr(pallas, "pallas_call", lambda *a, **k: run_kernel(*a, **k | {"interpret": simulated}))
    monkeypatch.setattr(scan, "_of_platform", lambda function, *arguments: function(True, *arguments))
    arguments, options = make_case(CELLS[name], (BATCH,), "state taps lengths dropout")
    options["resets"] = jnp.asarray(np.random.default_rng(0).random((STEPS, BATCH)) < 0.3)
    check(CELLS[name], arguments, options)


def test_in_float64_it_differs_by_rounding_alone(x64):
    cell = rnnjax.LSTM(FEATURES, param_dtype=jnp.float64)
    arguments, options = make_case(cell, (2, 2), "state taps lengths dropout")
    check(cell, arguments, options, 1e-13)


def test_in_bfloat16_it_differs_by_the_rounding_of_products():
    cell = rnnjax.LSTM(FEATURES, dtype=jnp.bfloat16)
    check(cell, *make_case(cell, (BATCH,), "lengths"), 1e-2)


def test_in_segments():
    cell, arguments, options = ragged_case("LSTM")
    check(cell, arguments, options | {"store_every": 4})


def test_a_loss_of_the_final_state_alone():
    cell, arguments, options = ragged_case("LSTM")

    def d_params(backend):
        return jax.grad(lambda a: total(rnnjax.unroll(cell, **a, **options, backend=backend)[0].h))(arguments)

    assert_close(d_params("pallas"), d_params("scan"), 1e-5)


def test_norm_taps_get_the_norms():
    cell = CELLS["LSTM"]
    params, xs, taps = make_params(cell), make_inputs(cell, (BATCH,)), norm_taps(zero_taps(cell, (BATCH,)))

    def norms(backend):
        options = {"lengths": jnp.array(LENGTHS), "backend": backend}
        return jax.grad(lambda taps: total(rnnjax.unroll(cell, params, xs, taps=taps, **options)))(taps)

    assert_close(norms("pallas"), norms("scan"), 1e-5)


def test_under_vmap_over_parameters():
    cell, arguments, options = ragged_case("GRU")
    params = jax.vmap(lambda scale: jax.tree.map(lambda a: a * scale, arguments["params"]))(jnp.array([0.5, 1.0, 1.5]))

    def gradients(backend):
        run = lambda params: gradient(cell, arguments | {"params": params}, options | {"backend": backend})  # noqa: E731
        return jax.vmap(run)(params)

    assert_close(gradients("pallas"), gradients("scan"), 1e-5)


def make_mesh(kind):
    return jax.make_mesh((2,), ("devices",), axis_types=(kind,), devices=jax.devices()[:2])


def test_under_shard_map_without_its_check():
    cell = CELLS["LSTM"]
    params, xs = make_params(cell), make_inputs(cell, (BATCH,))

    def d_xs(xs):
        return jax.grad(lambda xs: (rnnjax.unroll(cell, params, xs, backend="pallas")[1].h ** 2).sum())(xs)

    over_batch, mesh = P(None, "devices"), make_mesh(AxisType.Auto)
    sharded = jax.shard_map(d_xs, mesh=mesh, in_specs=over_batch, out_specs=over_batch, check_vma=False)
    assert_close(jax.device_get(jax.jit(sharded)(xs)), jax.device_get(d_xs(xs)), 1e-5)


def test_a_layer_passes_it_on():
    cell, xs = CELLS["GRU"], make_inputs(CELLS["GRU"], (BATCH,))
    variables = rnnjax.RNN(cell).init(jax.random.key(0), xs)
    layer = rnnjax.RNN(cell, backend="pallas")
    assert "pallas_call" in str(jax.make_jaxpr(layer.apply)(variables, xs))
    assert_close(layer.apply(variables, xs), rnnjax.RNN(cell).apply(variables, xs), 1e-5)


def test_in_forward_mode_it_is_the_plain_scan():
    cell = CELLS["GRU"]
    params, xs = make_params(cell), make_inputs(cell, (BATCH,))

    def tangent(backend):
        return jax.jvp(lambda xs: rnnjax.unroll(cell, params, xs, backend=backend)[1], (xs,), (jnp.ones_like(xs),))

    assert_close(tangent("pallas"), tangent("scan"), 1e-6)


def test_a_program_has_kernels_for_a_tpu_alone():
    """Whatever the platform it is traced on."""
    cell, arguments, options = ragged_case("LSTM")
    options["backend"] = "pallas"
    trace = jax.jit(lambda arguments: gradient(cell, arguments, options)).trace(arguments)
    texts = {name: trace.lower(lowering_platforms=(name,)).as_text() for name in ("tpu", "cpu", "cuda")}
    assert {name: text.count("tpu_custom_call") for name, text in texts.items()} == {"tpu": 2, "cpu": 0, "cuda": 0}
    assert "stablehlo.while" not in texts["tpu"]


def test_pallas_is_imported_by_those_alone_who_use_it():
    code = "import sys, rnnjax.core.unroll; sys.exit('jax.experimental.pallas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def on_a_tpu(monkeypatch, nothing_traced):
    """As if this process had a TPU, so that the first use compares the kernels with the scan."""
    monkeypatch.setattr(scan, "has_tpu", lambda: True)


def test_the_first_use_on_a_tpu_compares_once_for_each_shape(on_a_tpu):
    cell, found = CELLS["SimpleRNN"], []
    for batch in (BATCH, BATCH, BATCH + 1):
        rnnjax.unroll(cell, make_params(cell), make_inputs(cell, (batch,)), backend="pallas")
        found.append(first_use._error.cache_info().misses)
    assert found == [1, 1, 2]


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (
            lambda *_: jnp.full((BATCH, 4 * FEATURES), 0.1),
            r"differs from backend='scan' on this TPU, by [0-9.]+ of the norm",
        ),
        (lambda *_: 1 / 0, r"does not compile on this TPU \(ZeroDivisionError: division by zero\); backend='scan' is"),
    ],
)
def test_wrong_kernels_are_replaced_by_the_scan_with_a_warning(on_a_tpu, monkeypatch, broken, sentence):
    cell, arguments, options = ragged_case("LSTM")
    expected = gradient(cell, arguments, options)
    monkeypatch.setattr(kernels, "_project", broken)
    with pytest.warns(UserWarning, match=sentence):
        found = gradient(cell, arguments, options | {"backend": "pallas"})
    assert_close(found, expected, 1e-6)


@pytest.mark.parametrize(
    ("cell", "batch", "options", "sentence"),
    [
        (
            rnnjax.CoRNN(5),
            4,
            {},
            r"backend='pallas' needs an elementwise cell such as rnnjax.LSTM\(128\), got CoRNN; use backend='scan'",
        ),
        (
            CELLS["LSTM"],
            4,
            {"backward": "autodiff"},
            "backend='pallas' has one backward pass, 'fused', got backward='autodiff'",
        ),
        (
            rnnjax.LSTM(2048),
            32,
            {},
            r"backend='pallas' keeps W_h and a step of all examples in 16 MiB of a TPU's VMEM, but LSTM\(2048\) with "
            r"32 examples needs 8\d\.\d MiB; use backend='scan', or fewer units or examples",
        ),
        (CELLS["LSTM"], 40_000, {}, r"but LSTM\(5\) with 40000 examples needs"),
    ],
)
def test_what_it_cannot_do_is_refused_with_a_sentence(cell, batch, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        rnnjax.unroll(cell, None, jnp.zeros((3, batch, 3)), backend="pallas", **options)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_a_batch_divided_by_explicit_sharding_or_under_a_checked_shard_map_is_refused(kind):
    cell, mesh, over_batch = CELLS["LSTM"], make_mesh(kind), P(None, "devices")
    params, xs = make_params(cell), jnp.zeros((STEPS, BATCH, 3))

    def run(xs):
        return rnnjax.unroll(cell, params, xs, backend="pallas")[1].h

    if kind == AxisType.Explicit:
        xs = jax.device_put(xs, jax.sharding.NamedSharding(mesh, over_batch))
    else:
        run = jax.shard_map(run, mesh=mesh, in_specs=over_batch, out_specs=over_batch)
    with pytest.raises(ValueError, match=r"only inside jax.shard_map\(..., check_vma=False\), or jax.pmap"):
        jax.jit(run)(xs)


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
def test_it_compiles_for_a_tpu(monkeypatch, optimized, chip, cell, batch):
    """With lengths, resets, taps, dropout and zoneout."""
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("libtpu is not installed")
    for name, value in {
        "TPU_SKIP_MDS_QUERY": "1",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
        "TPU_ACCELERATOR_TYPE": "v5litepod-4",
        "TPU_WORKER_HOSTNAMES": "localhost",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(vmem, "MOST_STEPS", 10)
    topology = topologies.get_topology_desc(
        platform="tpu", topology_name=f"{chip}:2x2", chips_per_host_bounds=(2, 2, 1)
    )
    steps, inputs = 500, 64

    def make_arguments():
        key, rows = jax.random.key(0), jnp.arange(batch)
        return {
            "params": cell.init(key, inputs),
            "xs": jnp.zeros((steps, batch, inputs)),
            "taps": cell.initial_state((steps, batch)),
            "lengths": jnp.zeros(batch, int),
            "resets": jnp.zeros((steps, batch), bool),
            "dropout": cell.dropout_masks(key, rows, inputs, steps),
        }

    def d_params(arguments):
        def loss(params, taps):
            return total(rnnjax.unroll(cell, **arguments | {"params": params, "taps": taps}, backend="pallas"))

        return jax.grad(loss, (0, 1))(arguments["params"], arguments["taps"])

    device = SingleDeviceSharding(topology.devices[0])
    arguments = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=device), jax.eval_shape(make_arguments)
    )
    compiled = jax.jit(d_params).trace(arguments).lower(lowering_platforms=("tpu",)).compile()
    assert compiled.as_text().count('custom_call_target="tpu_custom_call"') == 2
