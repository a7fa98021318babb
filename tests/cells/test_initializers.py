"""What the parameters are before training."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import CELLS

import rnnjax
from rnnjax.cells.initializers import spectral_radius

H, D = 32, 24
KEY = jax.random.key(0)


def gates(cell, packed):
    """The blocks of a packed array, by the name of their gate."""
    return dict(zip(cell.gates, np.split(np.asarray(packed), len(cell.gates), axis=-1), strict=True))


@pytest.mark.parametrize("name", CELLS)
def test_recurrent_kernels_are_orthogonal_gate_by_gate(x64, name):
    cell = CELLS[name].replace(features=H, recurrent_init=rnnjax.Orthogonal(0.8))
    blocks = gates(cell, cell.init(KEY, D).w_h)
    for block in blocks.values():
        np.testing.assert_allclose(block @ block.T, 0.64 * np.eye(H), atol=1e-14)
    assert len({block.tobytes() for block in blocks.values()}) == len(cell.gates)


@pytest.mark.parametrize("name", CELLS)
def test_input_kernels_are_glorot_gate_by_gate(x64, name):
    """The fan of one gate, D and H, not of the packed kernel."""
    cell = CELLS[name].replace(features=H)
    blocks = gates(cell, cell.init(KEY, D).w_x)
    bound = np.sqrt(6 / (D + H))
    for block in blocks.values():
        assert block.shape == (D, H)
        assert 0.98 * bound < np.max(np.abs(block)) <= bound
        np.testing.assert_allclose(block.std(), bound / np.sqrt(3), rtol=0.08)
    assert len({block.tobytes() for block in blocks.values()}) == len(cell.gates)


def test_identity():
    cell = rnnjax.GRU(4, recurrent_init=rnnjax.Identity(0.5))
    for block in gates(cell, cell.init(KEY, 3).w_h).values():
        np.testing.assert_array_equal(block, 0.5 * np.eye(4, dtype=np.float32))


def test_normal_numbers_have_their_deviation():
    cell = rnnjax.SimpleRNN(200, kernel_init=rnnjax.Normal(0.01), recurrent_init=rnnjax.Normal(3.0))
    params = cell.init(KEY, D)
    for kernel, scale in ((params.w_x, 0.01), (params.w_h, 3.0)):
        np.testing.assert_allclose(kernel.std(), scale, rtol=0.03)
        assert abs(kernel.mean()) < 0.05 * scale


@pytest.mark.parametrize("seed", range(3))
def test_a_sparse_kernel_has_its_connections_into_each_unit_and_its_spectral_radius(seed):
    init, key = rnnjax.Sparse(0.95, connections=5), jax.random.key(seed)
    kernel = np.asarray(init(key, (30, 30), jnp.float32))
    np.testing.assert_array_equal((kernel != 0).sum(axis=0), 5)
    assert len(np.unique((kernel != 0).sum(axis=1))) > 1
    np.testing.assert_allclose(np.abs(np.linalg.eigvals(kernel)).max(), 0.95, rtol=5e-3)
    np.testing.assert_array_equal(init(key, (30, 30), jnp.bfloat16), kernel.astype(jnp.bfloat16))


@pytest.mark.parametrize("shape", [(1, 30), (30, 12)])
def test_a_sparse_kernel_that_is_not_square_has_its_largest_singular_value(shape):
    kernel = np.asarray(rnnjax.Sparse(0.95, connections=5)(jax.random.key(0), shape, jnp.float32))
    np.testing.assert_array_equal((kernel != 0).sum(axis=0), min(5, shape[0]))
    np.testing.assert_allclose(np.linalg.svd(kernel, compute_uv=False)[0], 0.95, rtol=1e-5)


@pytest.mark.parametrize(
    ("matrix", "radius"),
    [
        ([[0.0, -3.0], [3.0, 0.0]], 3.0),
        ([[2.0, 100.0], [0.0, 2.0]], 2.0),
        ([[1e-9, 0.0], [0.0, -4e-9]], 4e-9),
    ],
    ids=["a pair of complex eigenvalues", "one eigenvector", "small numbers"],
)
def test_the_spectral_radius(matrix, radius):
    assert float(spectral_radius(jnp.array(matrix))) == pytest.approx(radius, rel=5e-3)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (rnnjax.SimpleRNN(H), {"h": 0}),
        (rnnjax.LSTM(H), {"i": 0, "f": 1, "g": 0, "o": 0}),
        (rnnjax.LSTM(H, forget_bias=0.0), {"i": 0, "f": 0, "g": 0, "o": 0}),
        (rnnjax.GRU(H), {"r": 0, "u": 0, "n": 0}),
        (rnnjax.GRU(H, forget_bias=2.5), {"r": 0, "u": 2.5, "n": 0}),
    ],
)
def test_biases_are_zero_but_for_the_gate_that_keeps(cell, expected):
    params = cell.init(KEY, D)
    for gate, block in gates(cell, params.b).items():
        np.testing.assert_array_equal(block, np.full(H, expected[gate], np.float32))
    if isinstance(cell, rnnjax.GRU):
        np.testing.assert_array_equal(params.b_h, np.zeros(3 * H, np.float32))
    else:
        assert params.b_h is None


def test_chrono_keeps_for_every_time_scale_up_to_its_horizon(x64):
    """exp(b) is uniform on [1, T_max - 1], and the input gate of the LSTM starts as far closed as f is open."""
    lstm = rnnjax.LSTM(1000, chrono=200, param_dtype=jnp.float64)
    gru = rnnjax.GRU(1000, chrono=200, param_dtype=jnp.float64)
    of_lstm, of_gru = (gates(cell, cell.init_bias(KEY)[0]) for cell in (lstm, gru))
    for kept in (of_lstm["f"], of_gru["u"]):
        steps = np.sort(np.exp(kept))
        assert steps[0] >= 1
        assert steps[-1] <= 199
        np.testing.assert_allclose(steps, np.linspace(1, 199, 1000), atol=12)  # 6%: four standard errors
    np.testing.assert_array_equal(of_lstm["i"], -of_lstm["f"])
    for rest in (of_lstm["g"], of_lstm["o"], of_gru["r"], of_gru["n"]):
        assert not np.any(rest)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(
    "cell",
    [rnnjax.SimpleRNN(8), rnnjax.LSTM(8, chrono=20), rnnjax.GRU(8, recurrent_init=rnnjax.Identity())],
    ids=["SimpleRNN", "LSTM chrono", "GRU identity"],
)
def test_parameters_have_their_dtype_and_a_key_fixes_them(cell, dtype):
    cell = cell.replace(param_dtype=dtype)
    first, again, other = (cell.init(jax.random.key(seed), 3) for seed in (0, 0, 1))
    assert all(a.dtype == dtype for a in jax.tree.leaves(first))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.array_equal(first.w_x, other.w_x)
