"""``rnnjax.observe`` where one function makes the new carry of a step together with another result of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import rnnjax

T, H = 5, 3
W = 0.7 * np.random.default_rng(1).normal(size=(H, H))


@pytest.fixture(autouse=True)
def _x64(x64):
    return x64


@jax.custom_jvp
def own_jvp(h):
    return h, jnp.sin(h)


own_jvp.defjvp(lambda p, t: (own_jvp(*p), (t[0], jnp.cos(p[0]) * t[0])))


@jax.custom_vjp
def own_vjp(h):
    return h, jnp.sin(h)


own_vjp.defvjp(lambda h: (own_vjp(h), h), lambda h, ct: (ct[0] + jnp.cos(h) * ct[1],))


def twice(h):
    return h, h


def read_out(h):
    return h, jnp.sin(h)


def kept_or_halved(h):
    """One branch returns what it is given, and reads it as well; the other makes another array."""

    def halved(h):
        return 0.5 * h, jnp.cos(h)

    return lax.cond(h[0] > 0, read_out, halved, h)


PASSED_ON = {
    "jit": jax.jit(read_out),
    "checkpoint": jax.checkpoint(read_out),
    "jit in checkpoint": jax.checkpoint(jax.jit(read_out)),
    "cond": lambda h: lax.cond(h[0] > 0, read_out, lambda h: (h, h**3), h),
    "twice": jax.jit(twice),
    "custom_jvp": own_jvp,
    "custom_vjp": own_vjp,
}


def scanned(step, xs, taps):
    """A loss of all outputs and of the final carry; ``step`` gets a tap to add itself."""
    if taps is None:
        final, ys = lax.scan(lambda h, x: step(h, x, 0.0), jnp.ones(H) / 3, xs)
    else:
        final, ys = lax.scan(lambda h, s: step(h, *s), jnp.ones(H) / 3, (xs, taps))
    return ys.sum() + (final**2).sum()


def check(step):
    """The gradient at the carry is that with respect to taps which the step adds itself."""
    xs = np.random.default_rng(0).normal(size=(T, H))
    tapped, taps, (site, *_) = rnnjax.observe(lambda xs: scanned(step, xs, None))(xs)
    assert site.hidden is None
    expected = jax.grad(lambda taps: scanned(step, xs, taps))(np.zeros((T, H)))
    assert float(tapped(taps, xs)) == float(scanned(step, xs, None))
    np.testing.assert_allclose(jax.grad(tapped)(taps, xs)[site.name][0], expected, rtol=1e-12)


@pytest.mark.parametrize("name", PASSED_ON)
def test_a_carry_that_is_passed_on_and_read_out(name):
    def step(h, x, tap):
        return PASSED_ON[name](jnp.tanh(h @ W + x) + tap)

    check(step)


def test_a_carry_that_one_branch_passes_on():
    """In the other branch the array that is passed in is not the new carry, but an older one."""

    def step(h, x, tap):
        made = jnp.tanh(h @ W + x)

        def kept(made):
            return read_out(made + tap)

        def halved(made):
            return 0.5 * made + tap, jnp.cos(made)

        return lax.cond(made[0] > 0, kept, halved, made)

    def plain(h, x, tap):
        return kept_or_halved(jnp.tanh(h @ W + x))

    xs = np.random.default_rng(0).normal(size=(T, H))
    tapped, taps, (site,) = rnnjax.observe(lambda xs: scanned(plain, xs, None))(xs)
    expected = jax.grad(lambda taps: scanned(step, xs, taps))(np.zeros((T, H)))
    np.testing.assert_allclose(jax.grad(tapped)(taps, xs)[site.name][0], expected, rtol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 4])
def test_a_carry_that_an_inner_scan_makes_and_returns_as_an_output_too(length, reverse):
    """The tap is added at the last step of the inner scan, whose output is made of the same array."""
    last = 0 if reverse else length - 1

    def step(h, x, tap):
        def inner(h, k):
            new = jnp.tanh(h @ W + x) + jnp.where(k == last, tap, 0.0)
            return new, jnp.sin(new)

        h, outputs = lax.scan(inner, h, jnp.arange(length), reverse=reverse)
        return h, outputs.sum(0)

    check(step)


def test_a_carry_that_an_inner_scan_makes_and_nothing_else_reads():
    def step(h, x, tap):
        h, outputs = lax.scan(lambda h, k: (jnp.tanh(h @ W + x), h), h, jnp.arange(2))
        return h + tap, outputs.sum(0)

    check(step)


@jax.custom_vjp
def sealed(h, x):
    new = jnp.tanh(h @ W + x)
    return new, jnp.sin(new)


def _pull(residuals, ct):
    h, x = residuals
    return jax.vjp(lambda h, x: read_out(jnp.tanh(h @ W + x)), h, x)[1](ct)


sealed.defvjp(lambda h, x: (sealed(h, x), (h, x)), _pull)


def sealed_in_a_scan(h, x):
    h, outputs = lax.scan(lambda h, _: sealed(h, x), h, length=2)
    return h, outputs.sum(0)


def sealed_in_a_loop(h, x):
    return lax.while_loop(lambda c: c[0][0] > 9, lambda c: read_out(jnp.tanh(c[0])), (h, x))


@pytest.mark.parametrize(
    ("step", "function"),
    [
        (sealed, "jax.custom_vjp"),
        (jax.jit(sealed), "jax.custom_vjp"),
        (jax.checkpoint(sealed), "jax.custom_vjp"),
        (sealed_in_a_scan, "jax.custom_vjp"),
        (sealed_in_a_loop, "a while loop"),
    ],
)
def test_a_carry_that_cannot_be_changed_before_it_is_read_is_hidden(step, function):
    xs = np.ones((T, H))
    observed = rnnjax.observe(lambda xs: lax.scan(step, jnp.ones(H), xs)[1].sum())(xs)
    outer = observed.sites[0]
    assert outer.hidden == (
        f"its step makes the carry inside {function} and computes another result from it there, where nothing can be "
        "added to it; compute that result after it to look into it"
    )
    assert outer.name not in observed.taps


def test_a_carry_of_which_nothing_else_is_made_is_seen():
    """The other result of the function is not used."""
    xs = np.ones((T, H))
    _, taps, (site,) = rnnjax.observe(lambda xs: lax.scan(lambda h, x: (sealed(h, x)[0], x), jnp.ones(H), xs)[1])(xs)
    assert site.hidden is None
    assert list(taps) == [site.name]
