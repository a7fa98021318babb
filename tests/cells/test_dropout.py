"""One mask for a whole sequence (Gal & Ghahramani 2016)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import CELLS, make_inputs, make_params, quick_jit

import rnnjax
from rnnjax.cells import DropoutMasks

KEY = jax.random.key(0)


def test_masks_silence_their_share_and_keep_the_mean():
    cell = rnnjax.LSTM(40, input_dropout=0.25, recurrent_dropout=0.5)
    masks = jax.device_get(cell.dropout_masks(KEY, (30, 10), 50))
    assert masks.x.shape == (30, 10, 50)
    assert masks.h.shape == (30, 10, 40)
    for mask, rate in ((masks.x, 0.25), (masks.h, 0.5)):
        assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / (1 - rate))}
        np.testing.assert_allclose(np.mean(mask == 0), rate, atol=4 * np.sqrt(rate * (1 - rate) / mask.size))
        assert len(np.unique(mask.reshape(300, -1), axis=0)) == 300  # one draw for each example


def test_no_rate_is_no_mask():
    assert rnnjax.GRU(4).dropout_masks(KEY, (2,), 3) == DropoutMasks(None, None)
    only_x = rnnjax.GRU(4, input_dropout=0.5).dropout_masks(KEY, (2,), 3)
    assert only_x.x is not None
    assert only_x.h is None


def test_the_two_masks_and_two_keys_are_independent():
    cell = rnnjax.GRU(200, input_dropout=0.5, recurrent_dropout=0.5)
    first, second = (cell.dropout_masks(jax.random.key(seed), (), 200) for seed in (0, 1))
    assert not np.array_equal(first.x, first.h)
    assert not np.array_equal(first.x, second.x)
    assert not np.array_equal(first.h, second.h)


@pytest.mark.parametrize("name", CELLS)
def test_one_mask_is_held_over_time(name):
    """What the masks silence, no step reads: its gradient is exactly zero, and all others are not."""
    cell = CELLS[name].replace(param_dtype=jnp.float32, input_dropout=0.5, recurrent_dropout=0.5)
    params, xs = make_params(cell), make_inputs(cell, ())
    masks = DropoutMasks(jnp.array([2.0, 0.0, 2.0]), jnp.array([0.0, 2.0, 2.0, 0.0, 2.0]))

    @quick_jit
    def gradient(params, xs):
        def loss(params, xs):
            return jnp.sum(rnnjax.unroll(cell, params, xs, dropout=masks)[1].h)

        return jax.grad(loss, (0, 1))(params, xs)

    d_params, d_xs = gradient(params, xs)
    assert np.array_equal(d_xs != 0, np.broadcast_to(masks.x != 0, xs.shape))
    assert np.array_equal(np.any(d_params.w_x != 0, axis=1), masks.x != 0)
    assert np.array_equal(np.any(d_params.w_h != 0, axis=1), masks.h != 0)
