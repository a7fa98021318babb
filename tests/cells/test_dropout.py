"""One mask for a whole sequence (Gal & Ghahramani 2016)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import CELLS, assert_same, make_inputs, make_params

import rnnjax
from rnnjax.cells import DropoutMasks

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)


def test_masks_silence_their_share_and_keep_the_mean():
    cell = rnnjax.LSTM(40, input_dropout=0.25, recurrent_dropout=0.5)
    rows = 7 + jnp.arange(300).reshape(30, 10)
    masks = jax.device_get(cell.dropout_masks(KEY, rows, 50, 1))
    assert masks.x.shape == (30, 10, 50)
    assert masks.h.shape == (30, 10, 40)
    for mask, rate in ((masks.x, 0.25), (masks.h, 0.5)):
        assert set(np.unique(mask)) == {np.float32(0), np.float32(1 / (1 - rate))}
        np.testing.assert_allclose(np.mean(mask == 0), rate, atol=4 * np.sqrt(rate * (1 - rate) / mask.size))
        assert len(np.unique(mask.reshape(300, -1), axis=0)) == 300  # one draw for each example


def test_no_rate_is_no_mask():
    assert rnnjax.GRU(4).dropout_masks(KEY, jnp.arange(2), 3, 6) == DropoutMasks(None, None, None)
    for field, option in (("x", "input_dropout"), ("h", "recurrent_dropout"), ("hold", "zoneout")):
        masks = rnnjax.GRU(4, **{option: 0.5}).dropout_masks(KEY, jnp.arange(2), 3, 6)
        assert [name for name, mask in masks._asdict().items() if mask is not None] == [field]


def test_the_two_masks_and_two_keys_are_independent():
    cell = rnnjax.GRU(200, input_dropout=0.5, recurrent_dropout=0.5)
    first, second = (cell.dropout_masks(jax.random.key(seed), jnp.array(0), 200, 1) for seed in (0, 1))
    assert not np.array_equal(first.x, first.h)
    assert not np.array_equal(first.x, second.x)
    assert not np.array_equal(first.h, second.h)


def test_a_mask_depends_on_the_key_and_the_row_alone():
    """However the examples lie: in one batch or in parts, in another order, in a grid, one alone, jitted or not."""
    cell = rnnjax.LSTM(6, input_dropout=0.5, recurrent_dropout=0.3)
    whole = cell.dropout_masks(KEY, jnp.arange(8), 5, 7)

    @jax.jit
    def draw(key, rows):
        return cell.dropout_masks(key, rows, 5, 7)

    for rows in (np.arange(4), np.arange(4, 8), np.array([[5, 2], [1, 7]]), np.array(3)):
        assert_same(draw(KEY, rows), jax.tree.map(lambda a, rows=rows: a[rows], whole))
    together = jax.vmap(draw, (0, None))(jnp.stack([jax.random.key(1), KEY]), np.arange(4))
    assert_same(jax.tree.map(lambda a: a[1], together), jax.tree.map(lambda a: a[:4], whole))


@pytest.mark.parametrize("name", CELLS)
def test_one_mask_is_held_over_time(name):
    """What the masks silence, no step reads: its gradient is exactly zero, and all others are not."""
    cell = CELLS[name].replace(param_dtype=jnp.float32, input_dropout=0.5, recurrent_dropout=0.5)
    params, xs = make_params(cell), make_inputs(cell, ())
    masks = DropoutMasks(jnp.array([2.0, 0.0, 2.0]), jnp.array([0.0, 2.0, 2.0, 0.0, 2.0]))

    @jax.jit
    def gradient(params, xs):
        def loss(params, xs):
            return jnp.sum(rnnjax.unroll(cell, params, xs, dropout=masks)[1].h)

        return jax.grad(loss, (0, 1))(params, xs)

    d_params, d_xs = gradient(params, xs)
    assert np.array_equal(d_xs != 0, np.broadcast_to(masks.x != 0, xs.shape))
    assert np.array_equal(np.any(d_params.w_x != 0, axis=1), masks.x != 0)
    assert np.array_equal(np.any(d_params.w_h != 0, axis=1), masks.h != 0)
