"""``rnnjax.observe``: the gradients at all carries equal those of taps written into the program by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import rnnjax

T, H = 5, 3


@pytest.fixture(autouse=True)
def _x64(x64):
    return x64


def add(state, tap):
    return state if tap is None else state + tap


def taps_at(taps, t):
    return None if taps is None else taps[t]


def inputs(seed=0, shape=(T, H)):
    return np.random.default_rng(seed).normal(size=shape)


W = 0.7 * inputs(1, (H, H))


def elman(w, xs, taps=None, **options):
    """The readout, the next step and the output read the tapped state."""

    def step(h, scanned):
        x, tap = scanned
        new = add(jnp.tanh(h @ w + x), tap)
        return new, new**2 + x

    final, ys = lax.scan(step, jnp.full_like(xs.sum(0), 1 / 3), (xs, taps), **options)
    return jnp.sin(ys).sum() + (final**3).sum()


def passed_on(w, xs, taps=None):
    """The carry of the scan is kept as it came at every second step by a conditional."""

    def step(carry, scanned):
        x, t, tap = scanned
        new = lax.cond(t % 2 == 0, lambda h: jnp.tanh(h @ w + x), lambda h: h, carry)
        new = add(new, tap)
        return new, jnp.sin(new)

    final, ys = lax.scan(step, jnp.ones(H) / 3, (xs, jnp.arange(T), taps))
    return ys.sum() + (final**2).sum()


def in_cond(w, xs, taps=None):
    """State and output are made in the branch of a conditional."""

    def step(h, scanned):
        x, tap = scanned

        def branch(h):
            new = add(jnp.tanh(h @ w + x), tap)
            return new, jnp.cos(new)

        def other(h):
            new = add(h * 0.5, tap)
            return new, new**3

        return lax.cond(x[0] > 0, branch, other, h)

    final, ys = lax.scan(step, jnp.ones(H) / 3, (xs, taps))
    return ys.sum() + (final**2).sum()


def jitted_step(w, xs, taps=None):
    @jax.jit
    def cell(h, x, tap):
        new = add(jax.nn.sigmoid(h @ w + x), tap)
        return new, new * x

    final, ys = lax.scan(lambda h, s: cell(h, *s), jnp.ones(H) / 3, (xs, taps))
    return jnp.sin(ys).sum() + final.sum()


def remat_step(w, xs, taps=None):
    @jax.checkpoint
    def cell(h, x, tap):
        new = add(jnp.tanh(h @ w + x), tap)
        return new, new * x

    final, ys = lax.scan(lambda h, s: cell(h, *s), jnp.ones(H) / 3, (xs, taps))
    return jnp.sin(ys).sum() + final.sum()


def constant_carry(w, xs, taps=None):
    """The new carry is a constant of the program."""

    def step(h, scanned):
        x, tap = scanned
        return add(jnp.zeros(H), tap), jnp.tanh(h @ w + x)

    final, ys = lax.scan(step, jnp.ones(H), (xs, taps))
    return jnp.sin(ys).sum() + (final + 2).prod()


def counter_and_key(w, xs, taps=None):
    """An integer and a random key are carried beside the state."""

    def step(carry, scanned):
        x, tap = scanned
        t, key, h = carry
        key, now = jax.random.split(key)
        new = add(jnp.tanh(h @ w + x + t * jax.random.normal(now, (H,))), tap)
        return (t + 1, key, new), new**2

    (_, _, final), ys = lax.scan(step, (0, jax.random.key(3), jnp.zeros(H)), (xs, taps))
    return ys.sum() + final.sum()


def swapped(w, xs, taps=None):
    """A delay line of two: each state is passed on one place further, untouched."""

    def step(carry, scanned):
        x, tap = scanned
        a, b = carry
        new = jnp.tanh(b @ w + x)
        a, b = (new, a) if tap is None else (new + tap[0], a + tap[1])
        return (a, b), jnp.sin(a)

    final, ys = lax.scan(step, (jnp.ones(H), jnp.ones(H) / 2), (xs, taps))
    return ys.sum() + (final[0] * final[1]).sum()


def two_cells(w, xs, taps=None):
    """Two cells in one body, the second reads the first."""

    def step(carry, scanned):
        x, tap = scanned
        a, b = carry
        a = add(jnp.tanh(a @ w + x), tap and tap[0])
        b = add(jnp.sin(b @ w.T + a), tap and tap[1])
        return (a, b), b**2

    final, ys = lax.scan(step, (jnp.ones(H), jnp.ones(H) / 2), (xs, taps))
    return ys.sum() + (final[0] * final[1]).sum()


@jax.custom_vjp
def clipped(a):
    return a


clipped.defvjp(lambda a: (a, None), lambda _, ct: (jnp.clip(ct, -0.1, 0.1),))


def own_rules(w, xs, taps=None):
    """Functions with derivatives of their own in the step, a print, and a carry that begins as a number of Python."""

    def step(carry, scanned):
        h, total = carry
        x, tap = scanned
        h = add(jax.nn.relu(clipped(h) @ w + x), tap)
        jax.debug.callback(lambda a: None, h)
        return (h, total * 0.5), jnp.where(h > 0, jax.nn.gelu(h), h) * total

    (final, total), ys = lax.scan(step, (jnp.ones(H) / 3, 1.0), (xs, taps))
    return ys.sum() + (final**2).sum() * total


def loop(w, xs, taps=None):
    """``fori_loop`` with constant bounds is a scan; its counter is an integer."""

    def body(t, h):
        return add(jnp.tanh(h @ w + jnp.asarray(xs)[t]), taps_at(taps, t))

    return (lax.fori_loop(0, T, body, jnp.ones(H) / 3) ** 2).sum()


def mapped(w, xs, taps=None):
    return jax.vmap(lambda x, tap: elman(w, x, tap), (0, None if taps is None else 1))(
        jnp.stack([xs, 2 * xs]), taps
    ).sum()


ONE = [np.zeros((T, H))]
PAIR = [np.zeros((T, H)), np.zeros((T, H))]
CASES = {
    "plain": (elman, ONE),
    "jit": (jax.jit(elman), ONE),
    "checkpoint": (jax.checkpoint(elman), ONE),
    "vmap": (mapped, [np.zeros((T, 2, H))]),
    "reverse": (lambda *a: elman(*a, reverse=True), ONE),
    "unroll": (lambda *a: elman(*a, unroll=2), ONE),
    "kept by a conditional": (passed_on, ONE),
    "made in a conditional": (in_cond, ONE),
    "made in jit": (jitted_step, ONE),
    "made in checkpoint": (remat_step, ONE),
    "a constant": (constant_carry, ONE),
    "counter and key": (counter_and_key, ONE),
    "delay line": (swapped, PAIR),
    "two cells": (two_cells, PAIR),
    "fori_loop": (loop, ONE),
    "own rules": (own_rules, ONE),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_those_of_taps_in_the_program(name):
    program, taps = CASES[name]
    xs = inputs()
    tapped, zeros, (site,) = rnnjax.observe(lambda w, xs: program(w, xs))(W, xs)
    assert float(tapped(zeros, W, xs)) == float(program(W, xs))

    @jax.jit
    def gradients(zeros, w, xs, by_hand):
        of_program = jax.grad(program, argnums=2)(w, xs, by_hand), jax.grad(program)(w, xs)
        return jax.grad(tapped, argnums=(0, 1))(zeros, w, xs), of_program

    (d_taps, d_w), (expected, expected_d_w) = gradients(zeros, W, xs, taps[0] if len(taps) == 1 else tuple(taps))
    expected = jax.tree.leaves(expected)
    found = jax.tree.leaves(d_taps[site.name])[: len(expected)]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(d_w, expected_d_w, rtol=1e-12)


def test_finite_differences_of_a_loop_of_numpy():
    xs = inputs()

    def loss(taps):
        h, total = np.full(H, 1 / 3), 0.0
        for t in range(T):
            h = np.tanh(h @ np.asarray(W) + np.asarray(xs[t])) + taps[t]
            total += np.sin(h**2 + np.asarray(xs[t])).sum()
        return total + (h**3).sum()

    tapped, taps, (site,) = rnnjax.observe(elman)(W, xs)
    (gradient,) = jax.grad(tapped)(taps, W, xs)[site.name]
    for index in np.ndindex(T, H):
        step = np.zeros((T, H))
        step[index] = 1e-6
        assert abs((loss(step) - loss(-step)) / 2e-6 - gradient[index]) < 2e-9


def nested(w, xs, taps=None):
    """Three scans in each other; ``taps`` hold an array for each, outermost first."""

    def outer(a, scanned):
        x, (tap_a, *rest) = scanned

        def middle(b, scanned):
            y, (tap_b, tap_c) = scanned

            def inner(c, tap):
                new = add(jnp.sin(c @ w + b), tap)
                return new, new**2

            c, inside = lax.scan(inner, b, tap_c, length=2)
            new = add(jnp.tanh(c + y), tap_b)
            return new, new.sum() + inside.sum()

        b, ys = lax.scan(middle, a, (jnp.stack([x, 2 * x, -x]), tuple(rest)))
        new = add(jnp.tanh(a @ w + b), tap_a)
        return new, ys.sum() * new

    taps = (None, None, None) if taps is None else taps
    final, ys = lax.scan(outer, jnp.ones(H) / 3, (xs, taps))
    return ys.sum() + (final**2).sum()


def test_three_scans_in_each_other():
    xs = inputs()
    tapped, taps, sites = rnnjax.observe(nested)(W, xs)
    assert [site.outer for site in sites] == [(), (T,), (T, 3)]
    assert sites[2].within == (f"scan of {T} steps", "scan of 3 steps")
    by_hand = tuple(jnp.zeros((*site.outer, site.length, H)) for site in sites)
    expected = jax.grad(nested, argnums=2)(W, xs, by_hand)
    found = jax.grad(tapped)(taps, W, xs)
    for site, gradient in zip(sites, expected, strict=True):
        np.testing.assert_allclose(found[site.name][0], gradient, rtol=1e-12, atol=1e-13)


def test_a_scan_in_vmap_in_a_scan():
    def program(w, xs, taps=None):
        def outer(a, scanned):
            x, tap = scanned
            b = jax.vmap(lambda row, tap: elman(w, jnp.stack([row, a]), tap), (0, None if tap is None else 1))(
                jnp.stack([x, 2 * x]), tap
            )
            return a + b.sum(), b

        return lax.scan(outer, jnp.ones(H), (xs, taps))[1].sum()

    xs = inputs()
    tapped, taps, sites = rnnjax.observe(program)(W, xs)
    inner = sites[1]
    assert inner.outer == (T,)
    assert inner.length == 2
    by_hand = jnp.zeros((T, 2, 2, H))
    assert taps[inner.name][0].shape == by_hand.shape
    expected = jax.grad(program, argnums=2)(W, xs, by_hand)
    np.testing.assert_allclose(jax.grad(tapped)(taps, W, xs)[inner.name][0], expected, rtol=1e-12)


def test_the_branch_that_is_not_taken_has_a_gradient_of_zero():
    def program(w, xs):
        return lax.cond(xs[0, 0] > 100, lambda: elman(w, xs), lambda: elman(-w, xs))

    xs = inputs()
    tapped, taps, (first, second) = rnnjax.observe(program)(W, xs)
    assert (first.within, second.within) == (("branch 0 of cond",), ("branch 1 of cond",))
    found = jax.grad(tapped)(taps, W, xs)
    np.testing.assert_allclose(found[first.name][0], jax.grad(elman, argnums=2)(-W, xs, jnp.zeros((T, H))), rtol=1e-12)
    assert not found[second.name][0].any()


def test_inside_a_jitted_step_with_the_gradient_of_the_parameters():
    @jax.jit
    def step(w, xs):
        tapped, taps, (site,) = rnnjax.observe(elman)(w, xs)
        d_taps, d_w = jax.grad(tapped, argnums=(0, 1))(taps, w, xs)
        return d_taps[site.name][0], w - 0.1 * d_w

    xs = inputs()
    gradient, updated = step(W, xs)
    np.testing.assert_allclose(gradient, jax.grad(elman, argnums=2)(W, xs, jnp.zeros((T, H))), rtol=1e-12)
    np.testing.assert_allclose(updated, W - 0.1 * jax.grad(elman)(W, xs), rtol=1e-12)


def test_no_gradient_crosses_a_reset():
    """As in ``ScannedRNN`` of PureJaxRL: the state is replaced where an episode begins."""
    resets = jnp.array([False, False, True, False, False])

    def program(w, xs):
        def step(h, scanned):
            x, reset = scanned
            h = jnp.where(reset, jnp.zeros(H), h)
            new = jnp.tanh(h @ w + x)
            return new, new

        return (lax.scan(step, jnp.ones(H), (xs, resets))[1][-1] ** 2).sum()

    tapped, taps, (site,) = rnnjax.observe(program)(W, inputs())
    (gradient,) = jax.grad(tapped)(taps, W, inputs())[site.name]
    assert (gradient[:2] == 0).all()
    assert (gradient[2:] != 0).all()


def test_bfloat16_has_a_gradient_of_its_own_dtype():
    xs, w = jnp.asarray(inputs(), jnp.bfloat16), jnp.asarray(W, jnp.bfloat16)
    tapped, taps, (site,) = rnnjax.observe(elman)(w, xs)
    (gradient,) = jax.grad(tapped)(taps, w, xs)[site.name]
    assert gradient.dtype == jnp.bfloat16
    expected = jax.grad(elman, argnums=2)(w, xs, jnp.zeros((T, H), jnp.bfloat16))
    np.testing.assert_array_equal(gradient.astype(jnp.float32), expected.astype(jnp.float32))


def test_complex_states():
    """A unitary recurrence z ← z·exp(iθ) + x keeps the size of its gradient."""

    def program(theta, xs):
        def step(z, x):
            z = z * jnp.exp(1j * theta) + x
            return z, None

        return jnp.abs(lax.scan(step, jnp.zeros(H, jnp.complex128), xs)[0]).sum()

    tapped, taps, (site,) = rnnjax.observe(program)(inputs()[0], inputs())
    (gradient,) = jax.grad(tapped)(taps, inputs()[0], inputs())[site.name]
    np.testing.assert_allclose(jnp.abs(gradient), jnp.ones((T, H)), rtol=1e-12)


def test_a_scan_of_no_steps():
    tapped, taps, (site,) = rnnjax.observe(elman)(W, inputs(shape=(0, H)))
    assert site.length == 0
    assert jax.grad(tapped)(taps, W, inputs(shape=(0, H)))[site.name][0].shape == (0, H)


def test_a_function_without_scans():
    tapped, taps, sites = rnnjax.observe(lambda a: {"sum": a.sum()})(jnp.arange(3.0))
    assert (taps, sites) == ({}, ())
    assert tapped(taps, jnp.arange(3.0)) == {"sum": 3.0}


def test_keyword_arguments():
    tapped, taps, _ = rnnjax.observe(lambda w, *, xs: elman(w, xs))(W, xs=inputs())
    assert tapped(taps, W, xs=inputs()) == elman(W, inputs())


def test_several_thousand_steps_take_memory_for_the_gradient_only():
    """Beside the gradient itself, (T, H), what JAX keeps for any backward pass."""
    xs = jnp.ones((4000, H))
    tapped, taps, _ = rnnjax.observe(elman)(W, xs)

    def memory(function, *args):
        return jax.jit(function).lower(*args).compile().memory_analysis().temp_size_in_bytes

    without = memory(jax.grad(elman), W, xs)
    gradient = 4000 * H * 8
    assert memory(jax.grad(tapped, argnums=(0, 1)), taps, W, xs) <= without + 2 * gradient


def test_the_taps_gradient_in_shard_map_and_pmap():
    """Called inside of the mapped function, as ``jax.grad`` is."""
    xs = jnp.stack([inputs(seed) for seed in range(2)])

    def local(w, xs):
        tapped, taps, (site,) = rnnjax.observe(elman)(w, xs[0])
        return jax.grad(tapped)(taps, w, xs[0])[site.name][0][None]

    expected = jnp.stack([jax.grad(elman, argnums=2)(W, x, jnp.zeros((T, H))) for x in xs])
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec
    for check in (True, False):
        sharded = jax.shard_map(
            local, mesh=mesh, in_specs=(spec(), spec("data")), out_specs=spec("data"), check_vma=check
        )
        np.testing.assert_allclose(sharded(W, xs), expected, rtol=1e-12)
    pmapped = jax.pmap(lambda w, x: local(w, x[None])[0], in_axes=(None, 0))(W, xs)
    np.testing.assert_allclose(pmapped, expected, rtol=1e-12)
