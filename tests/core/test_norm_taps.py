"""The gradient of a ``NormTap`` is the norm of the gradient of a plain tap, for every option of ``unroll``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import (
    CELLS,
    INPUTS,
    LENGTHS,
    STEPS,
    assert_close,
    make_inputs,
    make_params,
    slow_unless,
    total,
    zero_taps,
)

import rnnjax
from rnnjax.core.taps import NormTap, is_norm_tap, norm_taps, safe_norm

pytestmark = pytest.mark.slow

OPTIONS = {
    "fused": {},
    "autodiff": {"backward": "autodiff"},
    "reverse": {"reverse": True},
    "stored every third": {"store_every": 3},
    "autodiff, stored every third": {"backward": "autodiff", "store_every": 3},
}


def norm_arrays(tree):
    """The arrays of a tree of ``NormTap``, (T, B, 1), without their last axis."""
    return jax.tree.map(lambda tap: tap.norm[..., 0], tree, is_leaf=is_norm_tap)


QUICK = [
    ("LSTM", "fused", None),
    ("LSTM", "autodiff", None),
    ("LSTM", "reverse", 3),
    ("SimpleRNN", "fused", 3),
    ("GRU", "stored every third", None),
    ("GRU", "autodiff, stored every third", None),
]


def cases():
    """Every cell, options and, of the fused pass, length of chunks; those that repeat quicker ones are slow tests."""
    for name in CELLS:
        for options in OPTIONS:
            for chunk in (None,) if "autodiff" in options else (None, 3):
                yield slow_unless((name, options, chunk) in QUICK, name, options, chunk)


@pytest.mark.parametrize(("name", "options", "chunk"), list(cases()))
def test_the_gradient_is_the_norm_of_the_gradient_of_plain_taps(x64, set_chunk_length, name, options, chunk):
    if chunk:
        set_chunk_length(chunk)
    cell = CELLS[name]
    params, xs, taps = make_params(cell), make_inputs(cell, (4,), STEPS), zero_taps(cell, (4,), STEPS)

    @jax.jit
    def gradients(params, taps):
        def loss(params, taps):
            results = rnnjax.unroll(cell, params, xs, lengths=jnp.array(LENGTHS), taps=taps, **OPTIONS[options])
            return total(results), results

        return jax.grad(loss, (0, 1), has_aux=True)(params, taps)

    (d_params, d_taps), results = gradients(params, taps)
    (same_params, norms), same_results = gradients(params, norm_taps(taps))
    assert_close((same_params, same_results), (d_params, results), 1e-12)
    assert_close(norm_arrays(norms), jax.tree.map(safe_norm, d_taps), 1e-12)
    assert isinstance(norms, cell.State)
    valid = np.arange(STEPS)[:, None] < np.array(LENGTHS)
    assert all(np.array_equal(norm > 0, valid) for norm in jax.tree.leaves(norm_arrays(norms)))


def test_the_value_of_norm_taps_changes_nothing(x64):
    cell = CELLS["LSTM"]
    params, xs = make_params(cell), make_inputs(cell, (4,), STEPS)
    taps = jax.tree.map(lambda a: a + 7.0, norm_taps(zero_taps(cell, (4,), STEPS)))
    for backward in ("fused", "autodiff"):
        run = jax.jit(lambda taps, backward=backward: rnnjax.unroll(cell, params, xs, taps=taps, backward=backward))
        assert_close(run(taps), run(None), 1e-12)


def test_modules_accept_norm_taps():
    cell = rnnjax.LSTM(3)
    module = rnnjax.Stack([rnnjax.RNN(cell), rnnjax.Bidirectional(rnnjax.RNN(cell), rnnjax.RNN(cell, reverse=True))])
    xs = jax.random.normal(jax.random.key(0), (4, STEPS, INPUTS))
    variables, taps = module.init(jax.random.key(1), xs), module.zero_taps(4, STEPS)
    gradient = jax.jit(jax.grad(lambda taps: total(module.apply(variables, xs, taps=taps))))
    assert_close(norm_arrays(gradient(norm_taps(taps))), jax.tree.map(safe_norm, gradient(taps)), 1e-5)


def test_norms_of_tiny_gradients_do_not_underflow():
    cell = rnnjax.SimpleRNN(8)
    params, xs = make_params(cell), make_inputs(cell, (2,), STEPS)
    taps = norm_taps(zero_taps(cell, (2,), STEPS))
    norms = jax.jit(jax.grad(lambda taps: 1e-30 * jnp.sum(rnnjax.unroll(cell, params, xs, taps=taps)[0].h)))(taps)
    assert np.all(norms.h.norm > 0)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda taps: taps._replace(c=taps.c.norm), "or all be NormTap where norms are wanted, got both"),
        (lambda taps: taps._replace(c=NormTap(taps.c.norm[:-1])), "taps.c must have shape"),
    ],
)
def test_mixed_or_misshaped_norm_taps_are_refused(x64, spoil, message):
    cell = CELLS["LSTM"]
    params, xs = make_params(cell), make_inputs(cell, (4,), STEPS)
    with pytest.raises(ValueError, match=message):
        rnnjax.unroll(cell, params, xs, taps=spoil(norm_taps(zero_taps(cell, (4,), STEPS))))


@pytest.mark.parametrize(
    ("batch", "backward"),
    [
        slow_unless((batch, backward) in (((2, 3), "fused"), ((), "autodiff")), batch, backward)
        for batch in ((), (4,), (2, 3))
        for backward in ("fused", "autodiff")
    ],
)
def test_any_batch_shape(x64, batch, backward):
    cell = CELLS["LSTM"]
    params, xs = make_params(cell), make_inputs(cell, batch)
    taps = zero_taps(cell, batch)

    def loss(taps):
        return total(rnnjax.unroll(cell, params, xs, taps=taps, backward=backward))

    norms, vectors = jax.jit(lambda *of_taps: [jax.grad(loss)(taps) for taps in of_taps])(norm_taps(taps), taps)
    assert norms.c.norm.shape == (STEPS, *batch, 1)
    assert_close(norm_arrays(norms), jax.tree.map(safe_norm, vectors), 1e-12)


def test_norm_taps_of_another_shape_are_refused_for_any_cell():
    cell = rnnjax.CoRNN(3)
    params, xs = cell.init(jax.random.key(0), INPUTS), np.zeros((STEPS, 4, INPUTS), np.float32)
    taps = norm_taps(cell.initial_state((STEPS, 3)))
    with pytest.raises(ValueError, match=r"taps.y must have shape \(8, 4, 1\) for CoRNN\(3\), got float32 of shape"):
        rnnjax.unroll(cell, params, xs, taps=taps)
