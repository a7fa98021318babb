"""Exchanged inputs by lag, and how far back a score and an answer depend on their input, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.diagnostics import context_length, furthest_swap, score_left, swap_lags, swap_partners

INPUTS = np.array([[1, 2, 3, 4], [5, 6, 0, 0]])
OTHERS = -10 * np.array([[1, 2, 3, 4], [5, 6, 7, 8]])
LENGTHS = np.array([4, 2])


@pytest.mark.parametrize(
    ("first", "stop", "expected"),
    [
        (0, 0, INPUTS),
        (0, 4, [[-10, -20, -30, -40], [-50, -60, 0, 0]]),  # padding stays
        (2, 4, [[-10, -20, 3, 4], [5, 6, 0, 0]]),  # all further back than the last two
        (1, 2, [[1, 2, -30, 4], [-50, 6, 0, 0]]),  # a single input
        (3, 9, [[-10, 2, 3, 4], [5, 6, 0, 0]]),
    ],
)
def test_the_inputs_at_some_lags_are_exchanged(first, stop, expected):
    assert np.array_equal(swap_lags(INPUTS, OTHERS, LENGTHS, first, stop), expected)
    assert np.array_equal(jax.jit(swap_lags)(INPUTS, OTHERS, LENGTHS, first, stop), expected)
    vectors = swap_lags(np.stack([INPUTS] * 3, -1), np.stack([OTHERS] * 3, -1), LENGTHS, first, stop)
    assert np.array_equal(vectors, np.stack([np.array(expected)] * 3, -1))


def test_lags_are_mapped():
    lags = jnp.arange(4)
    swapped = jax.vmap(lambda lag: swap_lags(INPUTS, OTHERS, LENGTHS, lag, lag + 1))(lags)
    assert np.array_equal((np.array(swapped) < 0).sum(axis=2), [[1, 1], [1, 1], [1, 0], [1, 0]])


def test_a_partner_is_another_example_as_long_or_the_next_longer():
    lengths = np.array([3, 1, 2, 3, 5, 1])
    inputs = 10 * np.arange(6)[:, None] + np.arange(5)[None] + 1  # 10·example + step + 1
    rows, others = swap_partners(inputs, lengths, seed=3)
    assert len(rows) == 5
    assert list(lengths[rows]) == [1, 1, 2, 3, 3]  # the longest has no partner
    for row, other in zip(rows, others, strict=True):
        length = lengths[row]
        example = other[0] // 10
        assert example != row
        assert lengths[example] >= length
        last = inputs[example, : lengths[example]][-length:]
        assert list(other[:length]) == list(last)  # both end at the same step
    assert len({*(other[0] // 10 for other in others)}) == 5


def test_as_many_examples_as_wanted_at_random():
    lengths, inputs = np.full(50, 2), np.arange(100).reshape(50, 2)
    rows, others = swap_partners(inputs, lengths, 20, seed=1)
    assert len({*rows}) == 20
    assert not (inputs[rows] == others).any()
    assert not np.array_equal(rows, swap_partners(inputs, lengths, 20, seed=2).rows)


def test_the_share_of_a_score_that_is_left_and_its_error():
    intact, constant = np.ones(4), np.array([1.0, 1.0, 0.0, 0.0])
    noise = np.tile([0.0, 0.0], 2)
    points = np.stack([constant, intact, np.array([1.0, 1.0, 1.0, 0.0]) + noise])
    many = [np.tile(a, 50) for a in (points, intact, constant)]
    left = score_left(*many)
    assert left.at_chance is False
    assert np.allclose(left.share, [0, 1, 0.5])
    lost = many[1] - many[0]
    assert np.allclose(left.error, lost.std(axis=1, ddof=1) / np.sqrt(200) / 0.5)


@pytest.mark.parametrize("gain", [-0.1, 0.0, 0.02])
def test_a_score_that_is_hardly_above_a_constant_answer_is_at_chance(gain):
    draw = np.random.default_rng(0)
    constant = draw.integers(2, size=400).astype(float)
    intact = draw.permutation(constant) + gain
    left = score_left(np.stack([intact, constant]), intact, constant)
    assert left.at_chance is True
    assert np.isnan(left.share).all()
    assert context_length(np.array([0, 5]), left.share) is None


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        ([0.0, 0.5, 0.95, 1.0], 4),
        ([0.0, 0.96, 0.9, 1.0], 8),  # it must be left with all larger numbers too
        ([0.95, 1.0, 1.0, 1.0], 0),
        ([0.0, 0.5, 0.5, 0.5], None),
        ([np.nan] * 4, None),
    ],
)
def test_the_smallest_number_of_inputs_with_which_the_score_is_left(share, expected):
    assert context_length(np.array([0, 2, 4, 8]), np.array(share)) == expected


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ([1.0, 0.5, 0.1, 0.09], 2),
        ([0.0, 0.0, 0.0, 2.0], 3),
        ([1.0, np.nan, 0.2, np.nan], 2),
        ([0.0, 0.0], None),
        ([np.nan, np.nan], None),
    ],
)
def test_the_furthest_exchange_that_moves_the_answer(moves, expected):
    assert furthest_swap(np.array(moves)) == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: swap_lags(INPUTS, OTHERS[:, :3], LENGTHS, 0, 1), r"others must have shape \(2, 4\), got \(2, 3\)"),
        (lambda: swap_lags(INPUTS, OTHERS, LENGTHS, -1, 1), "first must be at least 0, got -1"),
        (lambda: swap_lags(INPUTS, OTHERS, LENGTHS + 1, 0, 1), "lengths must be from 0 to 4, got 5"),
        (lambda: swap_partners(INPUTS[:1], LENGTHS[:1]), "at least two examples"),
        (lambda: swap_partners(INPUTS, LENGTHS, 0), "count must be a whole number of at least 1, got 0"),
        (lambda: swap_partners(INPUTS, LENGTHS - 2), "lengths must be from 1 to 4, got 0"),
        (lambda: score_left(np.ones(3), np.ones(3), np.ones(3)), r"points must be \(K, N\)"),
        (lambda: context_length(np.array([2, 1]), np.ones(2)), "kept must be rising"),
        (lambda: context_length(np.array([1, 2]), np.ones(2), 1.5), "least must be above 0 and at most 1"),
        (lambda: furthest_swap(np.ones((2, 2))), r"moves must be \(L,\)"),
        (lambda: furthest_swap(np.ones(2), 0), "share must be above 0 and at most 1"),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
