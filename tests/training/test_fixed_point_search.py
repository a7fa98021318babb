"""The search of a run finds what is known of hand-made networks, from states that they visit."""

import jax
import numpy as np
import pytest

import rnnjax
from rnnjax.data.synthetic.flipflop import flipflop
from rnnjax.training import fixed_point_search
from rnnjax.training.fixed_point_search import _principal_axes, search_fixed_points

pytestmark = pytest.mark.slow

DATA = flipflop(
    channels=2, length=12, pulse_probability=0.2, train_examples=1, validation_examples=70, test_examples=1, seed=0
)


def network(*layers):
    recurrent = layers[0] if len(layers) == 1 else rnnjax.Stack(layers)
    model = rnnjax.SequenceClassifier(0, 0, recurrent, classes=2, pooling="every")
    return model, model.init(jax.random.key(0), DATA.validation.inputs[:1])["params"]


def two_flip_flops(gain):
    """Each unit is h = tanh(2 h + gain·x): two channels with two stable points each."""
    model, params = network(rnnjax.RNN(rnnjax.SimpleRNN(2)))
    eye, zeros = np.eye(2, dtype=np.float32), np.zeros(2, np.float32)
    cell, dense = {"w_x": gain * eye, "w_h": 2 * eye, "b": zeros}, {"kernel": eye, "bias": zeros}
    assert jax.tree.structure(params["recurrent"]["cell"]) == jax.tree.structure(cell)
    return model, {"recurrent": {"cell": cell}, "Dense_0": dense}


def test_two_flip_flops_have_four_stable_points_with_saddles_between():
    model, params = two_flip_flops(gain=1.9)  # a pulse against the state takes it near 0, where the saddles are
    search = search_fixed_points(model, DATA, params)
    assert [point.unstable for point in search.points] == [0] * 4 + [1] * 4 + [2]
    assert all(point.fixed for point in search.points)
    signs = {tuple(np.sign(point.outputs).astype(int)) for point in search.points[:4]}
    assert signs == {(a, b) for a in (-1, 1) for b in (-1, 1)}
    for point in search.points[:4]:
        np.testing.assert_allclose(np.abs(point.outputs), 0.957504, atol=1e-5)
        np.testing.assert_allclose(point.eigenvalues_real, [0.166372] * 2, atol=1e-5)
        assert not point.eigenvalues_imag.any()
    ended = sum(point.candidates for point in search.points)
    assert ended + search.not_finite + search.far + search.fast == search.candidates == 64 * 12


def test_positions_are_on_the_axes_of_the_visited_states():
    model, params = two_flip_flops(gain=3.0)
    search = search_fixed_points(model, DATA, params)
    assert len(search.paths) == 16
    assert search.variance[:2].sum() == pytest.approx(1)
    assert search.variance[2] == 0
    assert all(len(axis) == 12 for path in search.paths for axis in path.axes)
    points = np.stack([point.position for point in search.points[:4]])
    assert (points[:, 2] == 0).all()
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.testing.assert_allclose(np.sort(distances[0]), [0, 1.915008, 1.915008, 2.708230], atol=1e-4)
    last = np.array([[path.axes[0][t], path.axes[1][t]] for path in search.paths for t in (10, 11)])
    assert np.linalg.norm(last[:, None] - points[None, :, :2], axis=-1).min(axis=1).max() < 0.5


def test_the_axes_are_those_of_the_largest_variance():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    vectors = rng.normal(size=(2000, 5)) * np.array([1.0, 5.0, 0.1, 3.0, 2.0]) @ turn + 7
    centre, axes, variance = _principal_axes(vectors.astype(np.float32))
    np.testing.assert_allclose(centre, vectors.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(np.abs(axes.T @ turn[[1, 3, 4]].T), np.eye(3), atol=0.1)
    np.testing.assert_allclose(variance, np.array([25, 9, 4]) / 39.01, atol=0.03)


def test_the_state_of_all_layers_is_searched(monkeypatch):
    """A GRU, whose state is 3 numbers, below an LSTM, whose state is 4."""
    monkeypatch.setattr(fixed_point_search, "CANDIDATES", 20)
    model, params = network(rnnjax.RNN(rnnjax.GRU(3)), rnnjax.RNN(rnnjax.LSTM(2)))
    search = search_fixed_points(model, DATA, params)
    assert search.candidates == 20
    assert search.points
    assert all(len(point.eigenvalues_real) == 3 + 4 for point in search.points)
