"""Programs whose scans end, nest and hold their examples in other ways, measured as the plain scan of the same loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax.analysis.scans.scan_diagnosis import diagnose_scans

pytestmark = pytest.mark.slow

B, T, H = 3, 12, 2
RNG = np.random.default_rng(0)
W = RNG.normal(size=(H, H)).astype(np.float32) * 0.5
XS = RNG.normal(size=(T, B, H)).astype(np.float32)


def cell(w, h, x):
    return jnp.tanh(h @ w + x)


def plain(w, xs):
    """The loss of every step, through the outputs."""
    _, hs = jax.lax.scan(lambda h, x: (cell(w, h, x),) * 2, jnp.zeros(xs.shape[1:]), xs)
    return (hs**2).sum((0, 2))


def running_loss(w, xs):
    def step(carry, x):
        h, total = carry
        h = cell(w, h, x)
        return (h, total + (h**2).sum(-1)), None

    return jax.lax.scan(step, (jnp.zeros(xs.shape[1:]), jnp.zeros(xs.shape[1])), xs)[0][1]


def buffer(w, xs):
    def body(t, carry):
        h, hs = carry
        h = cell(w, h, xs[t])
        return h, hs.at[t].set(h)

    return (jax.lax.fori_loop(0, len(xs), body, (jnp.zeros(xs.shape[1:]), jnp.zeros(xs.shape)))[1] ** 2).sum((0, 2))


def mapped(w, xs):
    """The examples one by one."""
    return jax.lax.map(lambda x: plain(w, x[:, None])[0], jnp.swapaxes(xs, 0, 1))


def check_equal(actual, expected):
    """The same norms, curves by lag, and shares of the only state of two losses."""
    (norms,), (wanted,) = actual.norms.values(), expected.norms.values()
    np.testing.assert_allclose(norms, wanted, rtol=1e-5)
    (layer,), (other,) = actual.diagnosis.layers, expected.diagnosis.layers
    assert (layer.units, layer.last_step_only) == (other.units, other.last_step_only)
    for quantity in ("m", "belt", "detour", "decay"):
        for level in ("q10", "q50", "q90"):
            got, want = (getattr(one.by_lag[quantity], level) for one in (layer, other))
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6, err_msg=quantity)
    np.testing.assert_allclose(layer.belt_share, other.belt_share, atol=1e-6)


@pytest.mark.parametrize(("loss", "left_out"), [(running_loss, "a sum over the steps"), (buffer, "a buffer of the")])
def test_a_loss_that_leaves_through_the_carry_is_one_of_every_step(loss, left_out):
    actual = rnnjax.gradient_flow(loss, W, XS)
    check_equal(actual, rnnjax.gradient_flow(plain, W, XS))
    assert left_out in " ".join(actual.notes)


def test_an_integrator_of_its_inputs_is_a_state():
    """It adds at every step as well, but what it adds is computed of no other state."""
    flow = rnnjax.gradient_flow(
        lambda w, xs: (jax.lax.scan(lambda h, x: (h + x * w, None), xs[0], xs)[0] ** 2).sum(-1), jnp.float32(0.5), XS
    )
    (layer,) = flow.diagnosis.layers
    assert (layer.last_step_only, layer.belt_share) == (True, 1)


@pytest.mark.parametrize("examples", [H, B])  # as many as units, which are no examples, and not as many
def test_examples_that_are_mapped_are_as_those_of_a_batch(examples):
    xs = XS[:, :examples]
    padded = np.concatenate([xs, xs[:, :1]], axis=1)  # a plain batch of as many examples as units is read as well
    expected = rnnjax.gradient_flow(plain, W, xs if examples == B else padded)
    (wanted,) = expected.norms.values()
    (norms,) = rnnjax.gradient_flow(mapped, W, xs).norms.values()
    np.testing.assert_allclose(norms, wanted[:, :examples], rtol=1e-5)


def test_examples_that_cannot_be_told_apart_for_sure_are_named():
    merged = rnnjax.gradient_flow(lambda w, xs: plain(w, xs.reshape(T, -1, H)).reshape(B, -1).sum(1), W, XS[:, :, None])
    assert not merged.notes  # one row for each example
    two_rows = np.repeat(XS, 2, axis=1)
    flow = rnnjax.gradient_flow(lambda w, xs: plain(w, xs).reshape(B, -1).sum(1), W, two_rows)
    assert flow.notes == (
        f"carry[0] of {flow.sites[0].name}, (6, 2), has no axis of the 3 examples: it is measured as one that all "
        "share.",
    )
    square = rnnjax.gradient_flow(plain, W, XS[:, :2])
    assert square.notes == (
        f"carry[0] of {square.sites[0].name}, (2, 2), has 2 axes as long as the 2 examples: the first one is taken.",
    )


def test_lengths_are_those_of_scans_that_have_so_many_steps():
    """The inner scan takes 4 smaller steps in each of the 12."""

    def loss(w, xs):
        def outer(h, x):
            h, _ = jax.lax.scan(lambda h, _: (h + 0.25 * (cell(w, h, x) - h), None), h, None, length=4)
            return h, None

        return (jax.lax.scan(outer, jnp.zeros(xs.shape[1:]), xs)[0] ** 2).sum(-1)

    flow = rnnjax.gradient_flow(loss, W, XS, lengths=np.array([5, 12, 9]))
    outer, inner = (flow.norms[site.name] for site in flow.sites)
    assert [int(n) for n in np.isfinite(outer).sum(0)] == [5, 12, 9]
    assert np.isfinite(inner).all()
    assert inner.shape == (4, T * B)


def test_the_exponents_are_those_of_the_longest_run():
    """No gradient comes to the first chunk, which is the first run of the inner scan."""

    def loss(w, chunks):
        def outer(h, xs):
            h, _ = jax.lax.scan(lambda h, x: (cell(w, h, x), None), jax.lax.stop_gradient(h), xs)
            return h, None

        return (jax.lax.scan(outer, jnp.zeros((B, H)), chunks)[0] ** 2).sum(-1)

    def last_chunk(w, both):
        return (jax.lax.scan(lambda h, x: (cell(w, h, x), None), both[0], both[1])[0] ** 2).sum(-1)

    chunks = XS.reshape(3, 4, B, H)
    h = np.zeros((B, H), np.float32)
    for x in XS[:8]:
        h = np.tanh(h @ W + x)
    actual = diagnose_scans(loss, W, chunks).scans[1]
    expected = diagnose_scans(last_chunk, W, (h, chunks[2])).scans[0]
    np.testing.assert_allclose(actual.lyapunov.exponents, expected.lyapunov.exponents, rtol=1e-4)
    np.testing.assert_allclose(actual.product, expected.product, rtol=1e-4)


def test_empty_arrays_and_scans_that_never_run_are_left_out():
    def loss(w, xs):
        def step(carry, x):
            return (cell(w, carry[0], x), carry[1]), None

        def never(h, x):
            return jax.lax.scan(lambda h, x: (cell(w, h, x), None), h, x)[0], None

        h, _ = jax.lax.scan(never, jnp.zeros((B, H)), jnp.zeros((0, T, B, H)))
        (h, _), _ = jax.lax.scan(step, (h, jnp.zeros((B, 0))), xs)
        return (h**2).sum(-1)

    flow = rnnjax.gradient_flow(loss, W, XS)
    (norms,) = flow.norms.values()
    expected = rnnjax.gradient_flow(
        lambda w, xs: (jax.lax.scan(lambda h, x: (cell(w, h, x), None), jnp.zeros((B, H)), xs)[0] ** 2).sum(-1), W, XS
    )
    np.testing.assert_allclose(norms, *expected.norms.values(), rtol=1e-5)


@pytest.mark.parametrize("x64", [False, True])
def test_promotion_of_dtypes_may_be_strict(x64):
    """Also with a carry in bfloat16 beside one in float32."""

    def loss(w, xs):
        def step(carry, x):
            h, slow = carry
            h = cell(w, h, x)
            return (h, 0.5 * slow + h.astype(jnp.bfloat16)), None

        h, slow = jax.lax.scan(step, (jnp.zeros((B, H), xs.dtype), jnp.zeros((B, H), jnp.bfloat16)), xs)[0]
        return (h**2).sum(-1) + slow.astype(h.dtype).sum(-1)

    with jax.enable_x64(x64), jax.numpy_dtype_promotion("strict"):
        assert len(diagnose_scans(loss, W, XS, lengths=np.array([5, 12, 9])).layers) == 2


def test_arrays_divided_over_explicit_axes_are_refused():
    mesh = jax.make_mesh((B,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,), devices=jax.devices()[:B])
    divided = jax.device_put(XS, jax.NamedSharding(mesh, jax.P(None, "data")))
    with jax.set_mesh(mesh), pytest.raises(ValueError, match="divided over explicit axes of a mesh cannot be followed"):
        rnnjax.gradient_flow(plain, W, divided)
