"""The cells of the family that are not elementwise, through the plain scan: equal to their equations in NumPy.

Gradients are equal to those of a loop over the same equations.
"""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family_reference import FAMILY, make_start, reference, scalar, unstabilised
from sequences import assert_close, loop, make_inputs, make_params, slow_unless, zero_taps

import rnnjax
from rnnjax.core.taps import norm_taps
from rnnjax.core.taps import zero_taps as zero_taps_of
from rnnjax.core.unroll import unroll_with_outputs

STEPS, LENGTHS = 5, (0, 5, 3, 1)  # short: the loops of the references take their time to compile
BATCH = len(LENGTHS)
RESETS = np.random.default_rng(2).random((STEPS, BATCH)) < 0.3
RESETS[[2, 3, 2], [1, 1, 2]] = True
OPTIONS = {
    "ragged with resets": {"lengths": np.array(LENGTHS), "resets": RESETS},
    "ragged with resets in reverse": {"lengths": np.array(LENGTHS), "resets": RESETS, "reverse": True},
}
# One cell whose two arrays differ in shape and one of complex numbers, where the code is the same for all.
NAMES = [slow_unless(name in ("ProjectedLSTM", "LRU"), name) for name in FAMILY]


def arguments(name, batch_shape=(BATCH,)):
    cell = FAMILY[name]
    return cell, make_params(cell), make_inputs(cell, batch_shape, STEPS), make_start(cell, batch_shape)


@pytest.mark.parametrize("name", [slow_unless(name in ("SLSTM exponential", "LRU"), name) for name in FAMILY])
def test_states_and_outputs_are_those_of_numpy(x64, name):
    cell, *given = arguments(name)
    expected = reference(np, cell, *jax.tree.map(np.asarray, given))
    final, states, ys = jax.jit(lambda *given: unroll_with_outputs(cell, *given))(*given)
    assert_close((unstabilised(jnp, final), unstabilised(jnp, states), ys), jax.tree.map(jnp.asarray, expected), 1e-12)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        slow_unless("reverse" in options and name != "SLSTM exponential", name, options)
        for name in FAMILY
        for options in OPTIONS
    ],
)
def test_states_gradients_and_taps_are_those_of_the_equations(x64, name, options):
    """Taps are explicit additions to each array of the state where the reference makes it."""
    cell, *given = arguments(name)
    taps = zero_taps(cell, (BATCH,), STEPS)

    def of_scan(taps, *given):
        final, states, ys = unroll_with_outputs(cell, *given, taps=taps, **OPTIONS[options])
        results = unstabilised(jnp, final), unstabilised(jnp, states), ys
        return scalar(results), (results, states)

    def of_equations(added, *given):
        return scalar(reference(jnp, cell, *given, added=added, **OPTIONS[options]))

    @jax.jit
    def both(taps, *given):
        added = unstabilised(jnp, taps)
        return (
            jax.grad(of_scan, (0, 1, 2, 3), has_aux=True)(taps, *given),
            jax.grad(of_equations, (0, 1, 2, 3))(added, *given),
        )

    ((of_taps, *actual), (results, states)), (of_added, *expected) = both(taps, *given)
    of_numpy = reference(np, cell, *jax.tree.map(np.asarray, given), **OPTIONS[options])
    assert_close(results, jax.tree.map(jnp.asarray, of_numpy), 1e-12)
    assert_close(actual, expected, 1e-12)
    if hasattr(states, "m"):  # c and n are those of the equations divided by exp(m), and the loss does not depend on m
        scale = np.exp(states.m)
        of_added = (of_added[0], of_added[1] * scale, of_added[2] * scale, jnp.zeros_like(states.m))
        np.testing.assert_allclose(of_taps.m, 0, atol=1e-13)
        of_taps = of_taps._replace(m=jnp.zeros_like(of_taps.m))
    assert_close(tuple(of_taps), of_added, 1e-12)
    past = np.arange(STEPS)[:, None] >= np.array(LENGTHS)
    assert not any(np.any(np.asarray(a)[past]) for a in jax.tree.leaves(of_taps))


@pytest.mark.parametrize("name", [slow_unless(name == "ProjectedLSTM", name) for name in FAMILY])
def test_the_scan_is_a_loop_over_step_also_in_segments(x64, name):
    """With no batch axis; the gradient of the loop, and of the scan that stores every third state."""
    cell, *given = arguments(name, ())

    def of_scan(store_every):
        return lambda *given: scalar(rnnjax.unroll(cell, *given, store_every=store_every))

    def of_loop(*given):
        return scalar(loop(cell, *given))

    @jax.jit
    def all_three(*given):
        return [jax.value_and_grad(f, (0, 1, 2))(*given) for f in (of_loop, of_scan(None), of_scan(3))]

    expected, whole, segments = all_three(*given)
    assert_close(whole, expected, 1e-12)
    assert_close(segments, expected, 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_norm_taps_are_the_norms_of_taps(x64, name):
    cell, params, xs, state = arguments(name)
    taps = zero_taps_of(cell, (STEPS, BATCH))

    def loss(taps):
        return scalar(rnnjax.unroll(cell, params, xs, state, lengths=np.array(LENGTHS), taps=taps))

    norms, vectors = jax.jit(lambda: (jax.grad(loss)(norm_taps(taps)), jax.grad(loss)(taps)))()
    for norm, vector in zip(norms, vectors, strict=True):
        np.testing.assert_allclose(norm.norm[..., 0], np.linalg.norm(vector, axis=-1), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("name", "reverse"),
    [
        slow_unless((name, reverse) in (("ProjectedLSTM", False), ("LRU", True)), name, reverse)
        for name in FAMILY
        for reverse in (False, True)
    ],
)
def test_episodes_are_those_run_apart_and_no_gradient_crosses(x64, name, reverse):
    cell, params, xs, _ = arguments(name)
    starts = (0, 3, 4, STEPS)
    resets = np.zeros((STEPS, BATCH), bool)
    resets[list(starts[1:-1])] = True

    @jax.jit
    def run(params, xs):
        _, *whole = unroll_with_outputs(cell, params, xs, resets=resets, reverse=reverse)
        apart = [unroll_with_outputs(cell, params, xs[a:b], reverse=reverse)[1:] for a, b in itertools.pairwise(starts)]
        return tuple(whole), jax.tree.map(lambda *a: jnp.concatenate(a), *apart)

    whole, apart = run(params, xs)
    assert_close(whole, apart, 1e-12)

    def middle_episode(xs, taps):
        _, states, ys = unroll_with_outputs(cell, params, xs, resets=resets, reverse=reverse, taps=taps)
        return scalar(jax.tree.map(lambda a: a[3], (states, ys)))

    of_xs, of_taps = jax.jit(jax.grad(middle_episode, (0, 1)))(xs, zero_taps(cell, (BATCH,), STEPS))
    others = np.arange(STEPS) != 3
    for a in jax.tree.leaves((of_xs, of_taps)):
        assert np.all(np.asarray(a)[others] == 0.0)
    assert np.any(of_xs[3] != 0)


@pytest.mark.parametrize("name", NAMES)
def test_batch_axes_are_independent(x64, name):
    """Two batch axes are one of the same examples, and one example is the batch of it."""
    cell, params, xs, state = arguments(name)
    lengths = np.array(LENGTHS)

    def fold(tree, axis):
        return jax.tree.map(lambda a: a.reshape(*a.shape[:axis], 2, 2, *a.shape[axis + 1 :]), tree)

    @jax.jit
    def run(xs, state):
        one = jax.tree.map(lambda a: a[2], state)
        return (
            unroll_with_outputs(cell, params, xs, state, lengths=lengths),
            unroll_with_outputs(cell, params, fold(xs, 1), fold(state, 0), lengths=lengths.reshape(2, 2)),
            unroll_with_outputs(cell, params, xs[:, 2], one, lengths=lengths[2]),
        )

    flat, folded, single = run(xs, state)
    final, *of_steps = flat
    assert_close(folded, (fold(final, 0), *fold(of_steps, 1)), 1e-14)
    expected = jax.tree.map(lambda a: a[2], final), *jax.tree.map(lambda a: a[:, 2], of_steps)
    assert_close(single, expected, 1e-14)


@pytest.mark.parametrize("name", [slow_unless(name == "LRU", name) for name in FAMILY])
def test_dtypes(name):
    """States are float32 (complex64) whatever the products are in, and stay what they are over the steps."""
    wide = FAMILY[name].replace(param_dtype=jnp.float32)
    in_float32 = jax.jit(lambda params, xs: unroll_with_outputs(wide, params, xs)[2])
    for cell in (wide, wide.replace(dtype=jnp.bfloat16), wide.replace(param_dtype=jnp.bfloat16)):
        params, xs = make_params(cell), make_inputs(cell, (2,))
        assert {a.dtype for a in jax.tree.leaves(params)} == {jnp.dtype(cell.param_dtype)}
        with jax.numpy_dtype_promotion("strict"):
            final, states, ys = jax.jit(lambda p, xs, cell=cell: unroll_with_outputs(cell, p, xs))(params, xs)
        expected = jnp.complex64 if name == "LRU" else jnp.float32
        assert {a.dtype for a in jax.tree.leaves((final, states))} == {jnp.dtype(expected)}
        assert ys.dtype == jnp.float32
        exact = in_float32(jax.tree.map(lambda a: a.astype(jnp.float32), params), xs)
        assert 0 <= np.abs(ys - exact).max() < 0.1
        assert cell is wide or np.any(ys != exact)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rnnjax.LayerNormLSTM(4, epsilon=0), "epsilon must be above 0, got 0"),
        (lambda: rnnjax.LayerNormLSTM(4, forget_bias="1"), "forget_bias must be a finite number, got '1'"),
        (lambda: rnnjax.LayerNormLSTM(4, kernel_init=rnnjax.Glorot), "kernel_init must be an initializer such as"),
        (lambda: rnnjax.ProjectedLSTM(4, projection=-1), "projection must be a whole number of at least 0, got -1"),
        (lambda: rnnjax.ProjectedLSTM(4, projection=2.0), "projection must be a whole number of at least 0, got 2.0"),
        (lambda: rnnjax.SLSTM(4, heads=3), "heads must divide features = 4, got 3"),
        (lambda: rnnjax.SLSTM(4, heads=0), "heads must be a whole number of at least 1, got 0"),
        (lambda: rnnjax.SLSTM(4, forget_gate="exp"), "forget_gate must be sigmoid or exponential, got 'exp'"),
        (lambda: rnnjax.LRU(4, r_min=0.9, r_max=0.5), "such that 0 <= r_min < r_max <= 1, got 0.9 and 0.5"),
        (lambda: rnnjax.LRU(4, max_phase=7.0), "max_phase must be above 0 and at most 2·π, got 7.0"),
        (lambda: rnnjax.CoRNN(4, dt=0.0), "dt must be above 0, got 0.0"),
        (lambda: rnnjax.CoRNN(4, gamma=-1.0), "gamma must be at least 0, got -1.0"),
    ],
)
def test_wrong_options(make, message):
    with pytest.raises(ValueError, match=message.replace("·", ".")):
        make()


@pytest.mark.parametrize("name", FAMILY)
def test_wrong_arguments_of_a_step(name):
    cell = FAMILY[name].replace(param_dtype=jnp.float32)
    kind = f"{type(cell).__name__}\\({cell.features}\\)"
    params, state, x_t = make_params(cell), cell.initial_state((2,)), jnp.zeros((2, 3))
    with pytest.raises(ValueError, match=f"params must be .*Params.* for {kind}"):
        cell.step(params._asdict(), state, x_t)
    with pytest.raises(ValueError, match=f"params.* must have shape .* for {kind}"):
        cell.step(params, state, x_t[:, :2])
    with pytest.raises(ValueError, match=f"state.* must have shape .* for {kind}"):
        cell.step(params, cell.initial_state((3,)), x_t)
    with pytest.raises(ValueError, match="x_t must hold floating-point numbers"):
        cell.step(params, state, x_t.astype(int))
    assert cell == dataclasses.replace(cell)
    assert hash(cell) == hash(dataclasses.replace(cell))
