"""Scans over padding, told by lengths or a mask, measured as the scans of the same sequences without it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax_cells import check_equal
from sequences import normal_like

import rnnjax
from rnnjax.analysis.scans.scan_diagnosis import diagnose_scans
from rnnjax.diagnostics import half_life, reach, truncation_length

T, B, H = 16, 4, 2
RNG = np.random.default_rng(0)
W = np.array([[0.6, -0.3], [0.4, 0.5]])
LENGTHS = np.array([6, 6, 6, 6])
RAGGED = np.array([6, 3, 1, 6])


def masks(lengths):
    """Steps (T, B) that count: at the front, at the end, and scattered."""
    front = np.arange(T)[:, None] < lengths[None]
    scattered = np.stack([RNG.permutation(of_example) for of_example in front.T], axis=1)
    return {"right": front, "left": front[::-1], "gaps": scattered}


def padded(xs, mask):
    """The steps of xs at the places of a mask, and large numbers elsewhere."""
    made = np.full((*mask.shape, xs.shape[-1]), 9.0)
    for b, of_example in enumerate(mask.T):
        made[of_example, b] = xs[: of_example.sum(), b]
    return made


def held(w, batch, reverse=False):
    """h ← tanh(h w + x), held where the mask is false; the loss reads the final state alone."""
    xs, mask = batch

    def step(h, scanned):
        x, counts = scanned
        return jnp.where(counts[:, None], jnp.tanh(h @ w + x), h), None

    return (jax.lax.scan(step, jnp.zeros(xs.shape[1:], xs.dtype), (xs, mask), reverse=reverse)[0] ** 2).sum(-1)


def check_same(actual, expected):
    """The only layer of two diagnoses: curves, exponents and products."""
    (layer,), (other,) = actual.layers, expected.layers
    np.testing.assert_array_equal(layer.count, other.count)
    for quantity in ("m", "decay", "belt", "detour", "belt_share"):
        for level in ("q10", "q50", "q90"):
            got, want = (getattr(one.by_lag[quantity], level) for one in (layer, other))
            np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-14, err_msg=quantity)
    np.testing.assert_allclose(layer.belt_share, other.belt_share, atol=1e-14)
    assert layer.last_step_only == other.last_step_only
    np.testing.assert_allclose(layer.lyapunov.exponents, other.lyapunov.exponents, rtol=1e-10)
    np.testing.assert_allclose(layer.lyapunov.largest, other.lyapunov.largest, rtol=1e-10)
    for bound in ("lag", "largest", "smallest"):
        known = slice(len(other.singular.lag))
        got, want = (getattr(one.singular, bound) for one in (layer, other))
        np.testing.assert_allclose(got[known], want[known], rtol=1e-9)


@pytest.mark.parametrize("reverse", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("where", ["right", "left", "gaps"])
def test_a_held_state_is_as_without_its_padding(x64, where, reverse):
    xs = RNG.normal(size=(6, B, H))
    mask = masks(LENGTHS)[where]
    actual = diagnose_scans(lambda w, batch: held(w, batch, reverse), W, (padded(xs, mask), mask), mask=mask)
    check_same(actual, diagnose_scans(lambda w, batch: held(w, batch, reverse), W, (xs, np.ones((6, B), bool))))


@pytest.mark.parametrize("where", ["left", pytest.param("gaps", marks=pytest.mark.slow)])
def test_ragged_padding_may_be_anywhere(x64, where):
    """As at the end, where lengths tell the same."""
    xs, found = RNG.normal(size=(6, B, H)), masks(RAGGED)
    right = diagnose_scans(held, W, (padded(xs, found["right"]), found["right"]), lengths=RAGGED)
    actual = diagnose_scans(held, W, (padded(xs, found[where]), found[where]), mask=found[where])
    check_same(actual, right)


def test_padding_with_which_the_gradient_decays_by_its_factor(x64):
    """h ← h/2 + x of 10 steps in 30: the gradient halves at every step, and 1% of it reaches 6 steps back."""

    def loss(w, batch):
        def step(h, scanned):
            x, counts = scanned
            return jnp.where(counts[:, None], 0.5 * h + x @ w, h), None

        return (jax.lax.scan(step, jnp.zeros(batch[0].shape[1:]), batch)[0] ** 2).sum(-1)

    mask = np.arange(30)[:, None] < np.full(B, 10)[None]
    flow = rnnjax.gradient_flow(loss, W, (RNG.normal(size=(30, B, H)), mask), lengths=np.full(B, 10))
    (layer,) = flow.diagnosis.layers
    np.testing.assert_allclose(layer.by_lag["decay"].q50, 0.5 ** np.arange(10), rtol=1e-12)
    decay = layer.by_lag["decay"].q50
    assert (half_life(decay), reach(decay), truncation_length(decay, 0.1)) == (pytest.approx(1), 6, 4)


def test_a_step_that_does_not_count_and_changes_the_state(x64):
    """h ← h/2 at every step of a scan whose loss reads the last one: the decay begins at the last step that counts."""

    def loss(scale, xs):
        return jax.lax.scan(lambda h, x: (0.5 * h + scale * x, None), jnp.zeros(xs.shape[1:]), xs)[0].sum(-1)

    (layer,) = diagnose_scans(loss, 1.0, np.ones((T, B, H)), lengths=LENGTHS).layers
    np.testing.assert_allclose(layer.by_lag["decay"].q50, 0.5 ** np.arange(6), rtol=1e-12)
    np.testing.assert_allclose(layer.by_lag["m"].q50, 2**0.5 * 0.5 ** np.arange(10, 16), rtol=1e-12)


@pytest.mark.parametrize("where", ["right", pytest.param("left", marks=pytest.mark.slow)])
def test_a_cell_of_flax_is_measured_at_the_steps_that_count(x64, where):
    """Its own measurements are those of the scan; on the left, of a scan from the state that the padding leaves."""
    model = nn.RNN(nn.LSTMCell(3, param_dtype=jnp.float64, dtype=jnp.float64), time_major=True, return_carry=True)
    xs, mask = RNG.normal(size=(T, B, H)), masks(LENGTHS)[where]
    params = normal_like(jax.eval_shape(model.init, jax.random.key(0), xs)["params"], 1, 0.5)

    def loss(params, batch):
        xs, *start = batch
        (c, _), ys = model.apply({"params": params}, xs, **({"initial_carry": start[0]} if start else {}))
        return (ys**2).sum((0, 2)) + c.sum(-1)

    if where == "left":
        start = jax.jit(lambda params, xs: model.apply({"params": params}, xs)[0])(params, xs[: T - 6])
        expected = diagnose_scans(loss, params, (xs[T - 6 :], start))
        check_equal(diagnose_scans(loss, params, (xs,), mask=mask).layers[0], expected.layers[0])
        return
    found = diagnose_scans(loss, params, (xs,), mask=mask)
    (layer,), (scan,) = found.layers, found.scans
    assert (layer.cell, len(layer.count)) == ("LSTMCell", 6)
    memory = scan.states[0].by_lag
    np.testing.assert_allclose(layer.by_lag["m"].q50, memory["m"][1][:6], rtol=1e-10)
    exponents = -np.sort(-np.asarray(scan.lyapunov.exponents))
    np.testing.assert_allclose(layer.lyapunov.exponents, exponents, rtol=1e-9)


@pytest.mark.parametrize("examples_first", [True, False])
def test_a_mask_is_that_of_the_example_of_each_run(examples_first):
    """Runs of an inner scan for three sequences of each of four examples, of which the second one is shorter."""

    def run(w, xs):  # (T, H)
        return jax.lax.scan(lambda h, x: (jnp.tanh(h @ w + x), None), jnp.zeros(H, xs.dtype), xs)[0].sum()

    def loss(w, xs):
        losses = jax.lax.map(lambda xs: jax.lax.map(lambda xs: run(w, xs), xs), xs)
        return losses.sum(1 if examples_first else 0)

    mask = np.ones((5, 4), bool)
    mask[3:, 1] = False
    shape = (4, 3) if examples_first else (3, 4)
    xs = RNG.normal(size=(*shape, 5, H)).astype(np.float32)
    (norms,) = rnnjax.gradient_flow(loss, W.astype(np.float32), xs, mask=mask).norms.values()
    short = np.broadcast_to(np.arange(4) == 1, (3, 4))
    expected = (short.T if examples_first else short).reshape(-1)
    np.testing.assert_array_equal(np.isnan(norms), (np.arange(5) >= 3)[:, None] & expected[None])
