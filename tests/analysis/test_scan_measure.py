"""Measurements of scans of Flax equal those of layers of rnnjax with the same equations, in double precision."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax_cells import CELLS, check_equal
from sequences import normal_like, slow_unless

import rnnjax
from rnnjax.analysis.scans.scan_diagnosis import diagnose_scans
from rnnjax.scans.carries import why_no_state
from rnnjax.scans.equations import inner_programs

B, T, D = 2, 12, 2


def inputs(seed=0, shape=(B, T, D)):
    return np.random.default_rng(seed).normal(size=shape)


def both(name, pooled):
    """The diagnosis of Flax's cell as a scan, and that of our cell with the same parameters."""
    flax_cell, convert = CELLS[name]
    model, xs = nn.RNN(flax_cell), inputs()
    params = normal_like(jax.eval_shape(model.init, jax.random.key(0), xs)["params"], 1, 0.5)

    def read(ys):
        return jnp.sin(ys).sum((1, 2)) if pooled else (ys[:, -1] ** 2).sum(1)

    scans = diagnose_scans(lambda params, xs: read(model.apply({"params": params}, xs)), params, xs)
    cell, ours = convert(params)
    native = rnnjax.diagnose(
        cell, ours, np.swapaxes(xs, 0, 1), lambda final, ys: read(jnp.swapaxes(ys, 0, 1))
    ).diagnosis.layers[0]
    return scans, native


@pytest.mark.parametrize(
    ("name", "pooled"),
    [
        slow_unless(False, "SimpleCell", False),
        slow_unless(False, "LSTMCell", False),
        ("LSTMCell", True),
        slow_unless(False, "OptimizedLSTMCell", False),
        slow_unless(False, "GRUCell", True),
        ("MGUCell", False),
        slow_unless(False, "MGUCell without reset", True),
    ],
)
def test_scans_of_flax_measure_like_our_layers(x64, name, pooled):
    scans, native = both(name, pooled)
    (layer,), (scan,) = scans.layers, scans.scans
    assert layer.cell == name.split()[0]
    check_equal(layer, native)
    memory = scan.states[0].by_lag  # the same of the scan as of one whose cell is not known
    for quantity in ("m", "belt", "detour", "decay", "belt_share"):
        for level, values in zip(("q10", "q50", "q90"), memory[quantity], strict=True):
            first = int(quantity == "belt_share" and name == "SimpleCell")
            np.testing.assert_allclose(
                values[first:], getattr(native.by_lag[quantity], level)[first:], rtol=1e-10, atol=1e-12
            )
    exponents = -np.sort(-np.asarray(scan.lyapunov.exponents))
    np.testing.assert_allclose(exponents, native.lyapunov.exponents, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(scan.product[:, 0] / np.log(10), native.singular.largest, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(scan.product[:, 1] / np.log(10), native.singular.smallest, rtol=1e-7, atol=1e-8)
    if len(scan.states) == 2:  # the output of an LSTM
        np.testing.assert_allclose(scan.states[1].by_lag["m"][1], native.by_lag["h"].q50, rtol=1e-10)
        assert (scan.states[1].by_lag["belt"][2] == 0).all()


def decaying(xs, factor=0.9, reverse=False):
    """h_t = 0.9·h_{t-1} + x_t, and all states."""
    return jax.lax.scan(lambda h, x: (factor * h + x,) * 2, jnp.zeros(xs.shape[1:]), xs, reverse=reverse)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_linear_recurrence_decays_by_its_factor(reverse):
    xs = np.ones((30, 3, 2), np.float32)
    scans = diagnose_scans(
        lambda scale, xs: decaying(scale * xs, reverse=reverse)[0].sum(1), jnp.float32(1), xs, jacobians=False
    )
    (layer,), (scan,) = scans.layers, scans.scans
    np.testing.assert_allclose(layer.by_lag["decay"].q50, 0.9 ** np.arange(30), rtol=1e-5)
    np.testing.assert_allclose(layer.by_lag["m"].q50, np.sqrt(2) * 0.9 ** np.arange(30), rtol=1e-5)
    np.testing.assert_allclose(
        layer.by_lag["belt"].q50[1:], layer.by_lag["m"].q50[1:], rtol=1e-5
    )  # there is no product
    assert (layer.by_lag["detour"].q90 == 0).all()
    by_step = np.sqrt(2) * 0.9 ** (np.arange(30) if reverse else np.arange(30)[::-1])
    np.testing.assert_allclose(scan.states[0].norms, np.broadcast_to(by_step[:, None], (30, 3)), rtol=1e-5)


def test_the_runs_of_an_inner_scan_are_further_examples():
    """Two runs of 5 steps, the second goes on where the first one ends; the constants of the inner scan are shared."""

    def loss(scale, xs):  # (2, 5, B, F)
        def chunk(h, of_chunk):
            final, _ = jax.lax.scan(lambda h, x: (0.5 * h + scale * x, None), h, of_chunk)
            return final, None

        return jax.lax.scan(chunk, jnp.zeros(xs.shape[2:]), xs)[0].sum(1)

    scans = diagnose_scans(loss, jnp.float32(1), np.ones((2, 5, 3, 1), np.float32), jacobians=False)
    outer, inner = scans.scans
    assert outer.states[0].norms.shape == (2, 3)
    norms = inner.states[0].norms  # (5, runs · examples)
    assert norms.shape == (5, 6)
    np.testing.assert_allclose(norms[:, 3:], np.broadcast_to(0.5 ** np.arange(5)[::-1, None], (5, 3)))
    np.testing.assert_allclose(norms[:, :3], np.broadcast_to(0.5 ** np.arange(5, 10)[::-1, None], (5, 3)))
    np.testing.assert_allclose(inner.states[0].by_lag["decay"][1], 0.5 ** np.arange(5))


def test_what_is_no_state_is_left_out_with_the_reason():
    def loss(scale, xs):
        def step(carry, x):
            t, key, time, buffer, h = carry
            h = jnp.tanh(0.5 * h + scale * x)
            return (t + 1, jax.random.fold_in(key, t), time + 0.1, buffer.at[t].set(h), h), None

        buffer = jnp.zeros(xs.shape)
        start = (0, jax.random.key(0), 0.0, buffer, xs[0])
        *_, buffer, h = jax.lax.scan(step, start, xs)[0]
        return (h**2).sum(1) + buffer.sum((0, 2))

    scans = diagnose_scans(loss, jnp.float32(1), np.ones((5, 3, 2), np.float32), jacobians=False)
    assert [layer.name for layer in scans.layers] == [scans.sites[0].name]
    assert [note.split(" carry")[1] for note in scans.notes] == [
        "[0], an integer, a truth value or a random key.",
        "[1], an integer, a truth value or a random key.",
        "[2], a counter.",
        "[3], a buffer of the whole sequence.",
    ]


def test_the_jacobian_of_a_complex_state_is_that_of_its_two_parts(x64):
    """z ← (w·z + z̄²/4)·v of one example, with respect to (Re z, Im z) of two units."""
    w, v = np.array([0.3 + 0.5j, -0.2j]), 0.7 - 0.4j

    def step(z, x):
        return (w[None] * z + z.conj() ** 2 / 4) * v + x, None

    xs = inputs(0, (5, 1, 2)) + 1j * inputs(1, (5, 1, 2))

    def loss(scale, xs):
        return (jnp.abs(jax.lax.scan(step, jnp.zeros((1, 2), complex), scale * xs)[0]) ** 2).sum(1)

    scans = diagnose_scans(loss, np.float64(1), xs)
    state, product, jacobians = np.zeros((1, 2), complex), np.eye(4), []
    for x in xs:

        def parts(real, x=x):
            new, _ = step(jnp.asarray(real[:, ::2] + 1j * real[:, 1::2]), x)
            return jnp.stack([new.real, new.imag], axis=-1).reshape(-1)

        real = np.stack([state.real, state.imag], axis=-1).reshape(1, 4)
        jacobians.append(np.asarray(jax.jacobian(parts)(real)).reshape(4, 4))
        product = jacobians[-1] @ product
        state = np.asarray(step(state, x)[0])
    _, growth = np.linalg.slogdet(product)
    np.testing.assert_allclose(scans.layers[0].lyapunov.exponents.sum(), growth / 5, rtol=1e-10)
    singular = scans.layers[0].singular
    expected = [np.linalg.norm(np.linalg.multi_dot(jacobians[-1 : -p - 1 : -1]), 2) for p in (2, 4)]
    np.testing.assert_allclose(singular.largest[1:], np.log10(expected), rtol=1e-9)


@pytest.mark.parametrize("impl", ["threefry2x32", slow_unless(False, "rbg")])
def test_random_keys_that_a_scan_in_a_branch_reads(impl):
    """A key among the constants, the steps' inputs and the carry of a scan, which may run or not."""

    def loss(scale, batch):
        xs, taken, key = batch

        def noisy(xs):
            def step(carry, inputs):
                h, own = carry
                x, of_step = inputs
                noise = sum(jax.random.normal(k, ()) for k in (key, own, of_step))
                return (0.5 * h + scale * x + noise, own), None

            start = jnp.zeros(xs.shape[1:]), jax.random.fold_in(key, 1)
            return jax.lax.scan(step, start, (xs, jax.random.split(key, len(xs))))[0][0].sum(1)

        return jax.lax.cond(taken, noisy, lambda xs: xs[0].sum(1), xs)

    for taken in (True, False):
        batch = np.ones((6, 3, 2), np.float32), taken, jax.random.key(0, impl=impl)
        (scan,) = diagnose_scans(loss, jnp.float32(1), batch, jacobians=False).scans
        norms = 2**0.5 * 0.5 ** np.arange(6)[::-1] if taken else np.full(6, np.nan)
        np.testing.assert_allclose(scan.states[0].norms, np.broadcast_to(norms[:, None], (6, 3)), rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, slow_unless(False, jnp.float16)])
def test_half_precision(dtype):
    def loss(scale, xs):
        return jax.lax.scan(lambda h, x: (h * jnp.asarray(0.5, dtype) + x, None), xs[0], scale * xs)[0].sum(1)

    scans = diagnose_scans(loss, jnp.asarray(1, dtype), jnp.ones((8, 3, 2), dtype))
    np.testing.assert_allclose(scans.layers[0].lyapunov.exponents, np.log([0.5, 0.5]), rtol=1e-3)
    np.testing.assert_allclose(scans.layers[0].by_lag["decay"].q50, 0.5 ** np.arange(8), rtol=1e-2)


def test_a_state_that_all_examples_share():
    """A running mean over the batch, (F,), beside the state of each example, (B, F)."""

    def loss(scale, xs):
        def step(carry, x):
            h, mean = carry
            mean = 0.5 * mean + scale * x.mean(0)
            return (0.9 * h + x - mean[None], mean), None

        return jax.lax.scan(step, (xs[0], xs[0, 0]), xs)[0][0].sum(1)

    scans = diagnose_scans(loss, jnp.float32(1), inputs(0, (6, 3, 2)).astype(np.float32), jacobians=True)
    own, shared = scans.scans[0].states
    np.testing.assert_allclose(own.norms, np.broadcast_to(2**0.5 * 0.9 ** np.arange(6)[::-1, None], (6, 3)), rtol=1e-5)
    assert shared.norms.shape == (6, 3)
    # ∂(sum over 3 examples)/∂mean_t, from steps t..5: -3·Σ_k 0.5^k·0.9^(5-t-k)
    expected = [3 * 2**0.5 * sum(0.5**k * 0.9 ** (5 - t - k) for k in range(6 - t)) for t in range(6)]
    np.testing.assert_allclose(shared.norms[:, 0], expected, rtol=1e-5)
    assert len(scans.layers[0].lyapunov.exponents) == 4


def test_a_state_that_is_passed_on_unchanged_is_left_out():
    """JAX itself takes such arrays out of a carry where it sees it."""
    body = jax.make_jaxpr(lambda h, fixed, x: (h + fixed * x, fixed))(*np.ones((3, 2), np.float32))
    assert why_no_state(body, 0, 2, length=8) == [None, "passed on unchanged"]


def test_a_state_that_is_written_in_part_is_a_state():
    program = jax.make_jaxpr(lambda h, xs: jax.lax.scan(lambda h, x: (h.at[0].set(jnp.sin(h[1] + x)), None), h, xs)[0])(
        np.ones(3, np.float32), np.ones(8, np.float32)
    )
    (body,) = inner_programs(program.jaxpr.eqns[0])
    assert why_no_state(body, 0, 1, length=8) == [None]


CUSTOM = {  # a step (w, state, x) -> state of other people's cells; the parts of the gradient add up to the total
    "unitary": lambda w, z, x: z * jnp.exp(1j * w[:2]) + x,
    "IndRNN": lambda w, h, x: jax.nn.relu(w[:2] * h + x),
    "MGU": lambda w, h, x: (1 - (f := jax.nn.sigmoid(h @ w + x))) * jnp.tanh((f * h) @ w + x) + f * h,
    "sLSTM": lambda w, s, x: (
        (c := jnp.exp(-jnp.abs(s[3] @ w)) * s[0] + jnp.exp(x) * jnp.tanh(s[3] @ w)),
        (n := jnp.exp(-jnp.abs(s[3] @ w)) * s[1] + jnp.exp(x)),
        s[2] * 0.5 + x,
        c / n,
    ),
    "LSTMP": lambda w, s, x: (
        (c := jax.nn.sigmoid(s[1] @ w[:1] + 1) * s[0] + jnp.tanh(x)),
        jnp.tanh(c) @ w[:, :1],
    ),
    "peephole": lambda w, c, x: jax.nn.sigmoid(c * w[:2] + x) * c + jnp.tanh(jnp.tanh(c) @ w + x),
    "noisy CTRNN": lambda w, h, x: h + 0.1 * (-h + jnp.tanh(h) @ w + x),
}


@pytest.mark.parametrize("name", [slow_unless(name in ("unitary", "LSTMP", "peephole"), name) for name in CUSTOM])
def test_the_parts_of_any_cell_add_up_to_the_total(x64, name):
    from rnnjax.scans.calls import backpropagate
    from rnnjax.scans.gradient_paths import gradient_paths
    from rnnjax.scans.observation import observe, trace
    from rnnjax.scans.sites import find_sites

    h = np.full((2, 3), 0.3)
    start = {"unitary": h.astype(complex), "sLSTM": (h, h + 1, h, h), "LSTMP": (h, h[:, :1])}.get(name, h)

    def loss(w, xs):
        def step(state, x):
            new = CUSTOM[name](w, state, x)
            return new, jax.tree.leaves(new)[-1]

        final, ys = jax.lax.scan(step, start, xs)
        return sum((jnp.abs(a) ** 2).sum(1) for a in (*jax.tree.leaves(final), *ys[::3]))

    args = inputs(1, (3, 3)), inputs(2, (6, 2, 3))
    program, _ = trace(loss, *args)
    _, (call,) = backpropagate(program, find_sites(program), list(args))
    paths = call.of_each_run(gradient_paths)
    tapped, taps, (site,) = observe(lambda *args: loss(*args).sum())(*args)
    expected = jax.grad(tapped)(taps, *args)[site.name]
    for total, gradient in zip(paths.total, expected, strict=True):
        np.testing.assert_allclose(total[0], gradient, rtol=1e-9, atol=1e-12)
    has_belt = [bool(jnp.any(belt != 0)) for belt in paths.belt]
    assert has_belt == {"sLSTM": [True, True, True, False], "LSTMP": [True, False]}.get(name, [True])
