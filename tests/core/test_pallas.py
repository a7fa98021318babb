"""``backend="pallas"`` equals the scan, values and gradients: its kernels run as operations of JAX here."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from pallas_cases import BATCH, CELLS, check, gradient, ragged_case
from sequences import (
    FEATURES,
    LENGTHS,
    STEPS,
    assert_close,
    make_case,
    make_inputs,
    make_params,
    slow_unless,
    total,
    zero_taps,
)

import rnnjax
from rnnjax.core.pallas import vmem
from rnnjax.core.taps import norm_taps

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize(
    ("name", "given", "reverse"),
    [
        slow_unless(reverse == bool(given) and (name == "LSTM" or given), name, given, reverse)
        for name in CELLS
        for given in ("", "state taps lengths dropout")
        for reverse in (False, True)
    ],
)
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


def test_pallas_is_imported_by_those_alone_who_use_it():
    code = "import sys, rnnjax.core.unroll; sys.exit('jax.experimental.pallas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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
