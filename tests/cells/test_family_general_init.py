"""Initial parameters of the cells of the family, and what is particular to one of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family_reference import FAMILY, scalar
from sequences import LENGTHS, STEPS, assert_close, make_inputs, make_params, make_state, normal_like

import rnnjax
from rnnjax.core.unroll import unroll_with_outputs

pytestmark = pytest.mark.slow

KEY = jax.random.key(3)


def test_eigenvalues_of_the_lru_are_uniform_on_the_ring(x64):
    cell = rnnjax.LRU(400, r_min=0.6, r_max=0.9, max_phase=1.0, param_dtype=jnp.float64)
    params = jax.tree.map(np.asarray, cell.init(KEY, 2))
    radius, phase = np.exp(-np.exp(params.nu_log)), np.exp(params.theta_log)
    assert 0.6 <= radius.min() < 0.61
    assert 0.89 < radius.max() <= 0.9
    shares = np.linspace(0.1, 0.9, 9)
    np.testing.assert_allclose(np.quantile(radius**2, shares), 0.36 + (0.81 - 0.36) * shares, atol=0.04)
    np.testing.assert_allclose(np.quantile(phase, shares), shares, atol=0.08)
    np.testing.assert_allclose(np.exp(params.gamma_log) ** 2, 1 - radius**2, rtol=1e-10)
    for matrix, variance in ((params.b_re, 1 / 4), (params.c_im, 1 / 400), (params.d, 1 / 2)):
        assert np.var(matrix) == pytest.approx(variance, rel=0.15)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_widest_ring_of_the_lru_is_finite(dtype):
    params = rnnjax.LRU(300, r_min=0.99, r_max=1.0, param_dtype=dtype).init(KEY, 1)
    assert all(np.isfinite(np.asarray(a, np.float32)).all() for a in params[:3])


def test_a_state_of_the_lru_has_the_variance_of_its_inputs():
    """γ makes the mean of |x|² that of |u|², whatever |λ| is (Orvieto et al. 2023, section 3.4)."""
    cell = rnnjax.LRU(64, r_min=0.9, r_max=0.95)
    xs = normal_like(jax.ShapeDtypeStruct((400, 32, 16), jnp.float32), 0)
    _, states = jax.jit(lambda params: rnnjax.unroll(cell, params, xs))(cell.init(KEY, 16))
    assert np.mean(np.abs(states.x[200:]) ** 2) == pytest.approx(1, rel=0.1)


def test_linear_coefficients_of_the_lru_are_its_recurrence(x64):
    cell = FAMILY["LRU"]
    params, xs, state = make_params(cell), make_inputs(cell, (2, 3)), make_state(cell, (2, 3))
    a, b = cell.linear_coefficients(params, xs)
    assert a.x.shape == b.x.shape == (*xs.shape[:-1], cell.features)
    for t, x_t in enumerate(xs):
        new, y = cell.step(params, state, x_t)
        state = type(state)(a.x[t] * state.x + b.x[t])
        assert_close((new, y), (state, cell.outputs(params, state, x_t)), 1e-14)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_lru_in_parallel_over_time_is_the_scan(x64, reverse):
    cell = FAMILY["LRU"]
    params, xs, state = make_params(cell), make_inputs(cell, (4,)), make_state(cell, (4,))
    options = {
        "lengths": np.array(LENGTHS),
        "resets": np.arange(STEPS)[:, None] % 3 == np.arange(4),
        "reverse": reverse,
    }

    def run(backend):
        def loss(*given):
            results = unroll_with_outputs(cell, *given, **options, backend=backend)
            return scalar(results), results

        return jax.grad(loss, (0, 1, 2), has_aux=True)(params, xs, state)

    scan, parallel = jax.jit(lambda: (run("scan"), run("associative")))()
    assert_close(parallel, scan, 1e-12)


@pytest.mark.parametrize("forget_gate", ["sigmoid", "exponential"])
def test_forget_gates_of_the_slstm_begin_between_5_and_minus_7_in_each_head(forget_gate):
    cell = rnnjax.SLSTM(8, heads=2, forget_gate=forget_gate)
    params = cell.init(KEY, 400)
    b_f = np.asarray(params.b, np.float64).reshape(4, 2, 4)[1]
    if forget_gate == "exponential":
        b_f = np.log(np.exp(b_f) / -np.expm1(b_f))  # of the sigmoid with the same value
    expected = np.array([5, 5 - 12 * (1 / 3) ** 0.3, 5 - 12 * (2 / 3) ** 0.3, -7])
    np.testing.assert_allclose(b_f, np.stack([expected, expected]), rtol=1e-3)
    assert not np.any(params.r)
    assert not np.any(np.asarray(params.b).reshape(4, 8)[[0, 2, 3]])
    assert np.var(params.w) == pytest.approx(2 / (5 * 400), rel=0.1)
    assert rnnjax.SLSTM(2, heads=2).init(KEY, 1).b.tolist() == [0, 0, 5, 5, 0, 0, 0, 0]


@pytest.mark.parametrize("size", [-1e4, 1e4])
def test_gates_of_any_size_keep_the_slstm_finite(size):
    """exp(1e4) is no number of float32; the first output is o·z whatever the input gate is."""
    cell = rnnjax.SLSTM(3, forget_gate="exponential")
    params = cell.init(KEY, 3)
    params = params._replace(b=params.b.at[:3].set(size))
    xs = make_inputs(cell, (4,))

    def run(params):
        final, states = rnnjax.unroll(cell, params, xs)
        return (final.h**2).sum(), states

    (gradient, states), z = jax.jit(jax.grad(run, has_aux=True))(params), xs[0] @ params.w
    assert all(np.isfinite(a).all() for a in jax.tree.leaves((gradient, states)))
    assert_close(states.h[0], jax.nn.sigmoid(z[:, 9:]) * jnp.tanh(z[:, 6:9]), 1e-6)
    assert np.min(states.n) >= 1


def test_units_of_other_heads_are_not_read(x64):
    cell = FAMILY["SLSTM"]
    params, state = make_params(cell), make_state(cell, ())
    state = state._replace(n=jnp.abs(state.n) + 1)

    def new_h(h):
        return cell.step(params, state._replace(h=h), jnp.zeros(3))[1]

    jacobian = np.asarray(jax.jacobian(new_h)(state.h))
    same = np.kron(np.eye(2, dtype=bool), np.ones((3, 3), bool))
    np.testing.assert_array_equal(jacobian != 0, same)


def test_the_layer_norm_lstm_does_not_see_the_scale_of_its_kernels(x64):
    cell = rnnjax.LayerNormLSTM(5, epsilon=1e-12, param_dtype=jnp.float64)
    params, xs, state = make_params(cell), make_inputs(cell, (2,)), make_state(cell, (2,))
    scaled = params._replace(w_x=3 * params.w_x, w_h=0.2 * params.w_h)
    assert_close(cell.step(scaled, state, xs[0]), cell.step(params, state, xs[0]), 1e-8)


def test_initial_sizes():
    params = rnnjax.CoRNN(50).init(KEY, 20)
    largest = max(np.abs(a).max() for a in params)
    assert 0.99 / np.sqrt(120) < largest <= 1 / np.sqrt(120)
    params = rnnjax.ProjectedLSTM(7).init(KEY, 2)
    assert params.w_p.shape == (7, 3)
    np.testing.assert_allclose(params.w_h[:, :7] @ params.w_h[:, :7].T, np.eye(3), atol=1e-5)
    for name in ("ProjectedLSTM", "LayerNormLSTM"):
        b = FAMILY[name].replace(param_dtype=jnp.float32).init(KEY, 2).b
        np.testing.assert_array_equal(b.reshape(4, -1), np.repeat([[0], [1], [0], [0]], b.size // 4, axis=1))
