"""Fixed and slow points of maps whose points are known, and their eigenvalues."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from sequences import CELLS, INPUTS, make_params, make_state, normal_like, slow_unless

import rnnjax
from rnnjax.diagnostics import fixed_points

pytestmark = pytest.mark.slow

NOTHING = np.zeros(1)
TOP = brentq(lambda h: np.tanh(2 * h) - h, 0.5, 1)  # h = tanh(2 h) has the solutions -TOP, 0 and TOP


def spread(count, size, low=-1.5, high=1.5, seed=0):
    return np.random.default_rng(seed).uniform(low, high, (count, size))


def double_tanh(h, x):
    return jnp.tanh(2 * h)


def counted(points):
    return int(points.candidates.sum()) + points.not_finite + points.far + points.fast


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 2e-6)])
def test_a_linear_map_has_one_point_with_the_eigenvalues_of_its_matrix(x64, dtype, tolerance):
    rng = np.random.default_rng(1)
    basis = rng.normal(size=(4, 4))
    rotation = 0.9 * np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    matrix = basis @ np.block([[np.diag([1.3, -0.4]), np.zeros((2, 2))], [np.zeros((2, 2)), rotation]])
    matrix = (matrix @ np.linalg.inv(basis)).astype(dtype)
    x = np.array([0.3, -0.2, 0.1, 0.4], dtype)
    points = fixed_points(lambda h, x: matrix @ h + x, spread(6, 4).astype(dtype), x, region=50.0)
    np.testing.assert_allclose(points.states, np.linalg.solve(np.eye(4) - matrix, x)[None], rtol=100 * tolerance)
    turn = np.exp(0.5j)
    np.testing.assert_allclose(np.sort_complex(points.eigenvalues[0]),
                               np.sort_complex([1.3, 0.9 * turn, 0.9 / turn, -0.4]), atol=20 * tolerance)  # fmt: skip
    np.testing.assert_allclose(np.abs(points.eigenvalues[0]), [1.3, 0.9, 0.9, 0.4], atol=20 * tolerance)
    assert (points.fixed.tolist(), points.stable.tolist(), points.saddle.tolist()) == ([True], [False], [True])
    assert (points.unstable.tolist(), points.candidates.tolist()) == ([1], [6])
    assert points.states.dtype == points.speed.dtype == dtype


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-14), (np.float32, 1e-6)])
def test_one_tanh_unit_has_two_stable_points_and_one_between_them(x64, dtype, tolerance):
    points = fixed_points(double_tanh, np.linspace(-1, 1, 21, dtype=dtype)[:, None], NOTHING)
    np.testing.assert_allclose(np.sort(points.states[:2, 0]), [-TOP, TOP], rtol=tolerance)
    np.testing.assert_allclose(points.states[2], 0, atol=1e-12)
    np.testing.assert_allclose(points.eigenvalues[:, 0], 2 * (1 - np.array([TOP, TOP, 0]) ** 2), rtol=10 * tolerance)
    assert points.stable.tolist() == [True, True, False]
    assert points.saddle.tolist() == [False, False, True]
    assert points.fixed.all()
    assert counted(points) == points.candidates.sum() == 21


def test_without_a_step_of_descent_points_are_refined_from_where_they_start(x64):
    points = fixed_points(double_tanh, np.array([[0.9], [-0.9]]), NOTHING, steps=0)
    np.testing.assert_allclose(np.sort(points.states[:, 0]), [-TOP, TOP], rtol=1e-12)


def test_two_tanh_units_have_saddles_between_neighbours_and_a_source_in_the_middle():
    points = fixed_points(double_tanh, spread(200, 2).astype(np.float32), NOTHING)
    assert points.unstable.tolist() == [0] * 4 + [1] * 4 + [2]
    corners = np.round(np.asarray(points.states) / TOP, 4) + 0.0
    assert {tuple(row) for row in corners[:4]} == {(a, b) for a in (-1, 1) for b in (-1, 1)}
    assert {tuple(row) for row in corners[4:8]} == {(-1, 0), (1, 0), (0, -1), (0, 1)}
    assert corners[8].tolist() == [0, 0]
    assert (np.diff(points.candidates[:4]) <= 0).all()  # of one kind, those with more candidates first


def test_a_line_attractor_gives_points_all_along_the_line():
    """F(h) = h + 0.5·(projection of h onto the line - h): every state on the line is a fixed point."""
    along = np.array([0.6, 0.8], np.float32)
    starts = spread(30, 2).astype(np.float32)
    points = fixed_points(lambda h, x: 0.5 * h + 0.5 * along * jnp.dot(along, h), starts, NOTHING)
    assert points.fixed.all()
    places = np.asarray(points.states) @ along
    np.testing.assert_allclose(points.states, places[:, None] * along, atol=1e-4)
    assert len(places) > 20
    assert np.ptp(places) > 2
    np.testing.assert_allclose(points.eigenvalues, np.tile([1, 0.5], (len(places), 1)), atol=1e-6)


def test_a_ghost_of_a_fixed_point_is_a_slow_point_of_known_speed(x64):
    """F(h) = h + h² + ε has no fixed point; q = ½(h² + ε)² is lowest at 0, where it is ½ε²."""
    points = fixed_points(lambda h, x: h + h**2 + 1e-4, spread(9, 1), NOTHING)
    np.testing.assert_allclose(points.states, [[0.0]], atol=1e-3)
    np.testing.assert_allclose(points.speed, [0.5e-8], rtol=1e-3)
    assert (points.fixed.tolist(), points.candidates.tolist()) == ([False], [9])
    assert fixed_points(lambda h, x: h + h**2 + 1e-4, spread(9, 1), NOTHING, tolerance=1e-8).fixed.all()
    fast = fixed_points(lambda h, x: h + h**2 + 1e-4, spread(9, 1), NOTHING, slow_tolerance=1e-9)
    assert (len(fast.speed), fast.fast) == (0, 9)


@pytest.mark.parametrize("name", [slow_unless(name == "LSTM", name) for name in CELLS])
def test_points_of_a_cell_are_fixed_and_have_the_eigenvalues_of_the_jacobian(x64, name):
    cell = CELLS[name]
    params = make_params(cell)
    candidates = make_state(cell, (12,))
    x = normal_like(jax.ShapeDtypeStruct((INPUTS,), jnp.float64), 9)

    def step(state, x):
        return cell.step(params, state, x)[0]

    def vector_step(vector):
        return jnp.concatenate(step(cell.State(*jnp.split(vector, len(candidates))), x))

    points = fixed_points(step, candidates, x, region=100.0)
    assert points.fixed[0]
    assert type(points.states) is cell.State
    size = cell.features * len(candidates)
    for k in range(len(points.speed)):
        state = jax.tree.map(lambda a, k=k: a[k], points.states)
        change = np.concatenate(step(state, x)) - np.concatenate(state)
        assert points.speed[k] == pytest.approx(0.5 * (change**2).sum(), rel=1e-6, abs=1e-29)
        jacobian = jax.jacfwd(vector_step)(jnp.concatenate(state))
        expected = np.asarray(jnp.linalg.eigvals(jacobian))
        assert points.eigenvalues[k].shape == (size,)
        np.testing.assert_allclose(
            np.sort_complex(np.round(points.eigenvalues[k], 9)), np.sort_complex(np.round(expected, 9)), atol=1e-8
        )
        assert (np.diff(np.abs(points.eigenvalues[k])) <= 1e-12).all()


def test_candidates_that_end_at_one_point_are_one():
    starts = np.repeat(np.array([[0.9], [1.1], [-1.0]], np.float32), 4, axis=0)
    points = fixed_points(double_tanh, starts, NOTHING)
    assert points.candidates.tolist() == [8, 4]
    assert len(fixed_points(double_tanh, starts[:4], NOTHING).speed) == 1
    both = fixed_points(double_tanh, starts, NOTHING, merge_distance=5.0)
    assert both.candidates.tolist() == [12]


def test_candidates_that_are_not_finite_or_run_away_are_dropped_and_counted():
    starts = np.array([[0.5], [np.nan], [np.inf], [30.0], [-0.5]], np.float32)

    def step(h, x):
        """As tanh(2 h) up to 5; no fixed point beyond, where the speed falls with the distance."""
        return jnp.where(jnp.abs(h) < 5, jnp.tanh(2 * h), h + jnp.exp(-h))

    points = fixed_points(step, starts, NOTHING, region=1.5, learning_rate=1.0)
    assert points.not_finite == 2
    assert len(points.speed) == 2 + (points.far == 0)
    assert counted(points) == 5
    none = fixed_points(double_tanh, np.full((3, 1), np.nan, np.float32), NOTHING)
    assert (none.states.shape, none.eigenvalues.shape, none.not_finite) == ((0, 1), (0, 1), 3)


def test_a_point_far_from_all_candidates_is_dropped():
    points = fixed_points(lambda h, x: 0.9 * h + 2.0, spread(5, 1).astype(np.float32), NOTHING)  # its point is 20
    assert (len(points.speed), points.far) == (0, 5)
    same = np.zeros((3, 1), np.float32)  # without an extent of the candidates, nothing is far
    np.testing.assert_allclose(fixed_points(lambda h, x: 0.9 * h + 2.0, same, NOTHING).states, [[20.0]], rtol=1e-5)


def test_every_candidate_can_have_an_input_of_its_own(x64):
    inputs = np.array([[0.25], [0.25], [-0.5]])
    points = fixed_points(lambda h, x: 0.5 * h + x, spread(3, 1), inputs, merge_distance=10.0)
    assert sorted(zip(points.inputs[:, 0].tolist(), points.candidates.tolist(), strict=True)) == [(-0.5, 1), (0.25, 2)]
    np.testing.assert_allclose(points.states, 2 * points.inputs, rtol=1e-12)


def test_complex_states_count_as_two_real_numbers(x64):
    turn = 0.8 * np.exp(0.7j)
    starts = {"z": spread(4, 2) + 1j * spread(4, 2, seed=1), "h": spread(4, 1, seed=2)}

    def step(state, x):
        return {"z": turn * state["z"] + 1, "h": 0.5 * state["h"]}

    points = fixed_points(step, starts, NOTHING, region=20.0)
    np.testing.assert_allclose(points.states["z"], np.full((1, 2), 1 / (1 - turn)), rtol=1e-12)
    np.testing.assert_allclose(points.states["h"], [[0.0]], atol=1e-12)
    np.testing.assert_allclose(np.abs(points.eigenvalues[0]), [0.8] * 4 + [0.5], rtol=1e-12)
    np.testing.assert_allclose(np.abs(np.angle(points.eigenvalues[0])), [0.7] * 4 + [0], atol=1e-12)


def test_a_candidate_ends_where_it_ends_alone():
    starts = spread(5, 2).astype(np.float32)
    together = fixed_points(double_tanh, starts, NOTHING, merge_distance=0.0)
    alone = [np.asarray(fixed_points(double_tanh, start[None], NOTHING).states[0]) for start in starts[:2]]
    for state in alone:
        assert np.abs(np.asarray(together.states) - state).max(axis=1).min() < 1e-5


def test_strict_promotion_of_dtypes():
    with jax.numpy_dtype_promotion("strict"):
        cell = rnnjax.LSTM(3)
        params = cell.init(jax.random.key(0), 2)
        points = fixed_points(
            lambda state, x: cell.step(params, state, x)[0], make_state(cell, (4,)), jnp.zeros(2), steps=20
        )
    assert counted(points) == 4
