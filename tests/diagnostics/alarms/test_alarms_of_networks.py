"""Alarms of real networks before their training: each fault is made by the cell's own options."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from made_up_evidence import names

import rnnjax
from rnnjax.cells.registry import cell_from_spec
from rnnjax.diagnostics.alarms.registry import Evidence, check
from rnnjax.diagnostics.gates import keep_at_bias, saturation
from rnnjax.diagnostics.linearization import linearise


def measured(spec, steps=100, batch=8, inputs=16):
    """What a network before its training shows: the gradient of a random readout of its last state, and its biases."""
    cell = cell_from_spec(spec, 32)
    params = cell.init(jax.random.key(0), inputs)
    rng = np.random.default_rng(1)
    xs = jnp.asarray(rng.normal(size=(steps, batch, inputs), scale=0.5), jnp.float32)
    weights = jnp.asarray(rng.normal(size=32), jnp.float32)

    @jax.jit
    @jax.grad
    def gradient(taps):
        final, _ = rnnjax.unroll(cell, params, xs, taps=taps)
        return jnp.sum(final.h @ weights)

    norms = np.linalg.norm(np.asarray(gradient(cell.initial_state((steps, batch)))[-1], np.float64), axis=-1)
    return Evidence(
        label=spec,
        curves=np.median(norms[::-1], axis=1)[None, :],
        keep_at_bias=float(keep_at_bias(cell, params).mean()),
        has_belt=spec.startswith(("lstm", "gru")),
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("simple", ["vanishing"]),
        ("simple:activation=relu,recurrent_init=orthogonal*3", ["exploding"]),
        ("simple:activation=relu,recurrent_init=identity*1.5", ["exploding"]),
        ("gru", ["vanishing", "forget bias"]),
        ("lstm:forget_bias=0", ["vanishing", "forget bias"]),
        ("lstm:chrono=100", []),
    ],
)
def test_real_gradients_of_an_untrained_network(spec, expected):
    assert names(measured(spec)) == expected


def test_a_gate_that_its_bias_holds_shut_is_stuck():
    cell = cell_from_spec("lstm:forget_bias=-9", 8)
    params = cell.init(jax.random.key(0), 3)
    xs = jnp.asarray(np.random.default_rng(1).normal(size=(5, 3)), jnp.float32)
    shares = jax.jit(lambda xs: saturation(cell, params, linearise(cell, params, xs)))(xs)
    stuck = dict(zip(cell.gates, map(float, shares), strict=True))
    (alarm,) = check(Evidence("LSTM", saturation=stuck, has_belt=True))
    assert (alarm.name, dict(alarm.evidence)) == ("saturated gates", {"f": 1.0})
