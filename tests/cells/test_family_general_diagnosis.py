"""``rnnjax.diagnose`` of the cells of the family that are not elementwise, held against direct computations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family_reference import FAMILY, real_numbers
from sequences import make_inputs, make_params

import rnnjax
from rnnjax.core.unroll import unroll_with_outputs

pytestmark = pytest.mark.slow

SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("LayerNormLSTM", "ProjectedLSTM", "SLSTM")]
SOME_SLOW = ["LRU", "CoRNN", *SLOW]
STEPS, LENGTHS = 12, np.array([12, 0, 5])
STATES = {"SLSTM": 4, "LRU": 1}  # number of rows of a diagnosis; of the other cells 2


def loss(final, ys):
    """Of the final state alone; of the sLSTM of h, which is its output."""
    read = final.h if hasattr(final, "h") else jnp.abs(final[0])
    return (read**2).sum(axis=-1)


def arguments(name, dtype=jnp.float64):
    cell = FAMILY[name].replace(param_dtype=dtype)
    return cell, make_params(cell), make_inputs(cell, (len(LENGTHS),), STEPS)


def of_one_example(name):
    """The cell, its step as a function of flat real numbers and x_t, its first state and inputs."""
    cell, params, xs = arguments(name)
    fields = cell.initial_state()

    def flat(state):
        return jnp.concatenate([real_numbers(a).T.reshape(-1) if jnp.iscomplexobj(a) else a for a in state])

    def unflat(numbers):
        arrays, start = [], 0
        for a in fields:
            width = a.size * (2 if jnp.iscomplexobj(a) else 1)
            part = numbers[start : start + width]
            arrays.append(jax.lax.complex(part[::2], part[1::2]) if jnp.iscomplexobj(a) else part)
            start += width
        return type(fields)(*arrays)

    def step(numbers, x_t):
        return flat(cell.step(params, unflat(numbers), x_t)[0])

    return cell, step, flat(fields), xs[:, 0]


@pytest.mark.parametrize("name", SOME_SLOW)
def test_every_state_is_measured_and_its_page_is_saved(name, tmp_path):
    cell, params, xs = arguments(name, jnp.float32)
    result = rnnjax.diagnose(cell, params, (xs, LENGTHS), loss)
    layers = result.diagnosis.layers
    assert len(layers) == STATES.get(name, 2)
    for layer in layers:
        assert layer.count.tolist() == [2] * 5 + [1] * 7  # lags of the two examples that have steps
    curves = [layer.by_lag["m"].q50 for layer in layers]
    assert all(np.isfinite(curve).all() for curve in curves)
    assert layers[0].last_step_only
    decay = layers[0].by_lag["decay"].q50
    assert decay[0] == pytest.approx(1, rel=1e-5)
    assert 0 < decay[4] < 1
    page = result.save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in page


@pytest.mark.parametrize("name", SOME_SLOW)
def test_norms_by_lag_are_those_of_taps(x64, name):
    """Of ragged examples, counted from the last valid step of each."""
    cell, params, xs = arguments(name)
    result = rnnjax.diagnose(cell, params, (xs, LENGTHS), loss)

    def of_taps(taps):
        final, _, ys = unroll_with_outputs(cell, params, xs, lengths=LENGTHS, taps=taps)
        return loss(final, ys).sum()

    gradients = jax.jit(jax.grad(of_taps))(cell.initial_state((STEPS, len(LENGTHS))))
    for layer, gradient in zip(result.diagnosis.layers, gradients, strict=True):
        norms = np.linalg.norm(gradient, axis=-1)
        both = np.stack([norms[length - 1 - np.arange(5), b] for b, length in ((0, 12), (2, 5))])
        np.testing.assert_allclose(layer.by_lag["m"].q50[:5], np.median(both, axis=0), rtol=1e-8, atol=1e-14)
        np.testing.assert_allclose(layer.by_lag["m"].q50[5:], norms[6::-1, 0], rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("name", ["ProjectedLSTM", "LRU", "CoRNN"])
def test_lyapunov_exponents_are_those_of_the_qr_recurrence(x64, name):
    """Of Jacobians of ``cell.step``, the last array of the state first."""
    cell, step, state, xs = of_one_example(name)
    _, params, batch = arguments(name)
    result = rnnjax.diagnose(cell, params, (batch, LENGTHS), loss)
    jacobian = jax.jit(lambda state, x_t: (jax.jacobian(step)(state, x_t), step(state, x_t)))
    width = cell.initial_state()[0].size
    order = np.r_[width : len(state), :width] if len(cell.initial_state()) > 1 else np.arange(len(state))
    q, growth = np.eye(len(state)), 0
    for x_t in xs:
        j, state = jacobian(state, x_t)
        q, r = np.linalg.qr(np.asarray(j)[np.ix_(order, order)] @ q)
        growth = growth + np.log(np.abs(np.diag(r)))
    expected = -np.sort(-growth / len(xs))
    np.testing.assert_allclose(result.diagnosis.layers[0].lyapunov.exponents, expected, rtol=1e-8)


def belts(name, cell, params, states):
    """∂(loss of the final state)/∂(each array of the state) at fixed results of all matrix products, (T, B, *)."""
    if name == "LRU":  # of real and imaginary part together; the phase does not matter to norms
        modulus = np.exp(-np.exp(params.nu_log))
        return [np.stack([2 * np.abs(states.x[-1]) * modulus**lag for lag in range(STEPS)][::-1])]
    if name == "CoRNN":
        made_y, of_y, of_z = 2 * states.y[-1], [], []
        made_z = cell.dt * made_y
        for _ in range(STEPS):
            of_y, of_z = [made_y, *of_y], [made_z, *of_z]
            made_y, made_z = made_y - cell.dt * cell.gamma * made_z, (1 - cell.dt * cell.epsilon) * made_z
            made_z = made_z + cell.dt * made_y
        return [np.stack(of_y), np.stack(of_z)]
    _, _, xs = arguments(name)
    before = np.concatenate([np.zeros_like(states.h[:1]), states.h[:-1]])
    z = np.asarray(xs) @ params.w_x + before @ params.w_h + params.b
    _, f, _, o = (1 / (1 + np.exp(-gate)) for gate in np.split(z, 4, axis=-1))
    of_c = [(2 * states.h[-1] @ params.w_p.T) * o[-1] * (1 - np.tanh(states.c[-1]) ** 2)]
    for f_t in f[:0:-1]:
        of_c = [f_t * of_c[0], *of_c]
    return [np.zeros_like(states.h), np.stack(of_c)]


@pytest.mark.parametrize("name", ["LRU", "CoRNN", "ProjectedLSTM"])
def test_belt_and_detour(x64, name):
    cell, params, xs = arguments(name)
    result = rnnjax.diagnose(cell, params, xs, loss)

    def of_taps(taps):
        final, states, ys = unroll_with_outputs(cell, params, xs, taps=taps)
        return loss(final, ys).sum(), states

    totals, states = jax.jit(jax.grad(of_taps, has_aux=True))(cell.initial_state(xs.shape[:2]))
    expected = belts(name, cell, *jax.tree.map(np.asarray, (params, states)))
    for layer, total, belt in zip(result.diagnosis.layers, totals, expected, strict=True):
        detour = np.zeros_like(belt) if name == "LRU" else np.asarray(total) - belt
        for part, gradient in (("belt", belt), ("detour", detour)):
            norms = np.median(np.linalg.norm(gradient, axis=-1), axis=1)[::-1]
            np.testing.assert_allclose(layer.by_lag[part].q50[1:], norms[1:], rtol=1e-8, atol=1e-12)
