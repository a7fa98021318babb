"""Steps past the end of the longest example: not computed, and without influence on any result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import CELLS, assert_close, make_inputs, make_params, make_state, slow_unless, total, zero_taps

import rnnjax
from rnnjax.core import skipped_padding
from rnnjax.core.chunks import equal_chunks, scan_chunks
from rnnjax.core.skipped_padding import skipping_padding
from rnnjax.core.taps import norm_taps
from rnnjax.core.valid_span import Span, longest, valid_span

pytestmark = pytest.mark.slow

STEPS = 13
LENGTHS = {"half": (4, 6, 0, 5), "one chunk": (1, 0, 2, 1), "none": (0, 0, 0, 0), "all": (13, 2, 0, 13)}
GENERAL = {
    "LayerNormLSTM": rnnjax.LayerNormLSTM(5, param_dtype=jnp.float64),
    "SLSTM": rnnjax.SLSTM(5, param_dtype=jnp.float64),
}


def gradient(cell, *, reverse=False, taps=None, **options):
    """A function of lengths, compiled once: (gradient of a loss of all results for all arguments, the results)."""
    arguments = make_params(cell), make_inputs(cell, (4,), STEPS), make_state(cell, (4,)), taps
    wanted = (0, 1, 2) if taps is None else (0, 1, 2, 3)

    @jax.jit
    def run(lengths, *arguments):
        def loss(params, xs, state, taps):
            results = rnnjax.unroll(cell, params, xs, state, lengths=lengths, reverse=reverse, taps=taps, **options)
            return total(results), results

        return jax.grad(loss, wanted, has_aux=True)(*arguments)

    return lambda lengths: run(jnp.array(lengths), *arguments)


@pytest.mark.parametrize(
    ("name", "reverse"),
    [
        slow_unless(name == "LSTM" or (name == "GRU" and reverse), name, reverse)
        for name in CELLS
        for reverse in (False, True)
    ],
)
def test_the_fused_scan_equals_the_plain_one(x64, set_chunk_length, name, reverse):
    set_chunk_length(3)
    cell = CELLS[name]
    taps = zero_taps(cell, (4,), STEPS)
    plain = gradient(cell, reverse=reverse, taps=taps, backward="autodiff")
    fused = gradient(cell, reverse=reverse, taps=taps)
    for lengths in LENGTHS.values():
        assert_close(fused(lengths), plain(lengths), 1e-12)


@pytest.mark.parametrize(
    ("name", "reverse"),
    [slow_unless(name == "SLSTM", name, reverse) for name in GENERAL for reverse in (False, True)],
)
def test_a_scan_of_any_cell_is_the_same_when_it_skips(x64, monkeypatch, name, reverse):
    monkeypatch.setattr(skipped_padding, "MOST_RAGGED_STEPS", 3)
    plain, skipped = gradient(GENERAL[name], reverse=reverse), gradient(GENERAL[name], reverse=reverse)
    for lengths in LENGTHS.values():
        expected = plain(lengths)
        with skipping_padding(True):
            assert_close(skipped(lengths), expected, 1e-12)


@pytest.mark.parametrize("name", [slow_unless(name == "LSTM", name) for name in CELLS])
def test_norm_taps_are_zero_past_the_end(x64, set_chunk_length, name):
    set_chunk_length(3)
    cell, lengths = CELLS[name], LENGTHS["half"]
    (*_, norms), _ = gradient(cell, taps=norm_taps(zero_taps(cell, (4,), STEPS)))(lengths)
    for tap in jax.tree.leaves(norms):
        valid = np.arange(STEPS)[:, None] < np.array(lengths)
        assert (tap[~valid] == 0).all()
        assert (tap[valid] > 0).all()


@pytest.mark.parametrize("name", CELLS)
def test_a_loop_runs_as_far_as_the_longest_example(set_chunk_length, name):
    """As many chunks and steps as it has, forward and backward: as many calls of a function that counts them."""
    set_chunk_length(3)
    cell, calls = CELLS[name].replace(param_dtype=jnp.float32), []

    class Counting(type(cell)):
        def project(self, x, w, b=None):
            jax.debug.callback(lambda: calls.append(x.ndim))
            return super().project(x, w, b)

    counting = gradient(Counting(cell.features))
    for lengths in LENGTHS.values():
        calls.clear()
        jax.block_until_ready(counting(lengths))
        jax.effects_barrier()
        chunks, steps = -(-max(lengths) // 3), max(lengths) if cell.recurrent_kernel else 0
        assert calls.count(3) in (chunks, 2 * chunks)  # the inputs; forward, and where XLA keeps it, backward
        assert calls.count(2) in (steps, 2 * steps)  # the state


def test_the_longest_is_that_of_all_examples_under_vmap():
    lengths = jnp.array([[3, 1], [7, 0]])
    assert jax.vmap(longest)(lengths).tolist() == [7, 7]
    assert jax.vmap(jax.vmap(longest))(lengths[..., None]).tolist() == [[7, 7], [7, 7]]
    assert jax.jit(jax.vmap(lambda a: valid_span(a, 9, reverse=True)))(lengths).first.tolist() == [2, 2]


@pytest.mark.parametrize("name", [slow_unless(name == "LSTM", name) for name in CELLS])
def test_vmap_over_examples_of_different_lengths(x64, set_chunk_length, name):
    set_chunk_length(3)
    cell, lengths = CELLS[name], jnp.array(LENGTHS["half"])
    params, xs, state = make_params(cell), make_inputs(cell, (4,), STEPS), make_state(cell, (4,))

    def one(xs, state, length):
        return rnnjax.unroll(cell, params, xs, state, lengths=length)

    def together(xs, state):
        return rnnjax.unroll(cell, params, xs, state, lengths=lengths)

    final, states = jax.jit(jax.vmap(one, (1, 0, 0), (0, 1)))(xs, state, lengths)
    assert_close((final, states), jax.jit(together)(xs, state), 1e-13)


def test_other_chunks_give_zeros():
    def body(carry, inputs):
        (rows,), first, count = inputs
        return carry + rows.sum(), rows * first + 100 * count

    rows = jnp.arange(1.0, 13)[:, None, None]
    span = Span(jnp.int32(4), jnp.int32(8))
    carry, outputs = scan_chunks(body, jnp.float32(0), (rows,), jnp.arange(4.0), 3, span=span)
    assert outputs[:, 0, 0].tolist() == [0, 0, 0, 304, 305, 306, 214, 216, 218, 0, 0, 0]
    assert carry == 4 + 5 + 6 + 7 + 8 + 9


@pytest.mark.parametrize(
    ("steps", "most", "expected"), [(500, 32, 25), (200, 32, 25), (201, 32, 29), (128, 32, 32), (20, 32, 20)]
)
def test_chunks_are_about_equal(steps, most, expected):
    assert equal_chunks(steps, most) == expected
