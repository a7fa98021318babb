"""Every diagnostic of the cells of the family: against taps, forward-mode autodiff and known identities."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family_cells import BATCH, CELLS, full_case
from sequences import LENGTHS, STEPS, assert_close, make_inputs, make_params, make_state, slow_unless, total

import rnnjax
from rnnjax import diagnostics
from rnnjax.diagnostics.loss_decay import loss_decay

pytestmark = pytest.mark.slow

NAMES = [slow_unless(name in ("PeepholeLSTM", "MinLSTM", "CTRNN"), name) for name in CELLS]
VALID = np.arange(STEPS)[:, None] < np.array(LENGTHS)


@functools.cache
def measured(name):
    """All diagnostics of one pass with resets, and the same quantities from ``cell.step`` and from taps alone."""
    cell, lengths = CELLS[name], jnp.array(LENGTHS)
    params, xs, start = make_params(cell), make_inputs(cell, (BATCH,)), make_state(cell, (BATCH,))
    resets = full_case(name)[1]["resets"]

    def of_taps(taps, resets, loss):
        return loss(*rnnjax.unroll(cell, params, xs, start, lengths=lengths, resets=resets, taps=taps))

    def flat(state, x_t, reset):
        before = cell.State(*jnp.split(state, len(cell.State._fields)))
        before = jax.tree.map(lambda a: jnp.where(reset, 0, a), before)
        return jnp.concatenate(cell.step(params, before, x_t)[0])

    @jax.jit
    def run():
        steps = diagnostics.linearise(cell, params, xs, start, lengths=lengths, resets=resets)
        final = jax.tree.map(lambda a: a[-1], steps.states)
        ct_final, ct_states = jax.grad(lambda *a: total(a), (0, 1))(final, steps.states)
        asked = jax.tree.map(lambda a, last: a.at[-1].add(last), ct_states, ct_final)
        ways = diagnostics.paths(cell, params, steps, asked)
        before = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b[:-1]]), start, steps.states)
        jacobians = jax.vmap(jax.vmap(jax.jacobian(flat)))(jnp.concatenate(before, axis=-1), xs, resets & VALID)
        free = diagnostics.linearise(cell, params, xs, start, lengths=lengths)
        last_alone = jax.tree.map(jnp.zeros_like, free.states)
        last_alone = last_alone._replace(h=last_alone.h.at[-1].set(jnp.cos(free.states.h[-1])))
        of_last = jax.grad(of_taps)(cell.initial_state((STEPS, BATCH)), None, lambda f, _: jnp.sin(f.h).sum())
        return {
            "steps": free,
            "parts": ways.direct + ways.belt + ways.detour,
            "totals": jax.grad(of_taps)(cell.initial_state((STEPS, BATCH)), resets, lambda *a: total(a))[-1],
            "detour": ways.detour,
            "jacobians": (diagnostics.step_jacobians(cell, params, steps), jacobians),
            "free jacobians": diagnostics.step_jacobians(cell, params, free),
            "lyapunov": diagnostics.lyapunov_spectrum(cell, params, free),
            "omega": diagnostics.omega(cell, params, free, diagnostics.paths(cell, params, free, last_alone).state),
            "flossing": diagnostics.flossing(cell, params, free, count=2),
            "gates": diagnostics.gate_values(cell, params, free),
            "saturation": diagnostics.saturation(cell, params, free),
            "horizon": diagnostics.horizon(free),
            "keep": diagnostics.keep_at_bias(cell, params),
            "decay": (*loss_decay(cell, params, free, last_alone, sources=1), of_last[-1]),
        }

    return jax.tree.map(np.asarray, run())


@pytest.mark.parametrize("name", NAMES)
def test_belt_and_detour_sum_to_the_total_that_taps_give(x64, name):
    results = measured(name)
    assert_close(results["parts"], results["totals"], 1e-12)
    if not CELLS[name].recurrent_kernel:
        assert not np.any(results["detour"])


@pytest.mark.parametrize("name", NAMES)
def test_a_step_jacobian_is_that_of_the_step_and_zero_at_a_reset(x64, name):
    found, expected = measured(name)["jacobians"]
    resets = np.asarray(full_case(name)[1]["resets"])
    for b, n in enumerate(LENGTHS):
        assert_close(found[:n, b], expected[:n, b], 1e-12)
    assert not np.any(found[resets & VALID])


@pytest.mark.parametrize(
    "name",
    [name for name in NAMES if name.values != ("IndRNN",)],  # a relu that is off has no logarithm
)
def test_lyapunov_exponents_add_up_to_the_log_of_the_determinant(x64, name):
    results = measured(name)
    logs = np.linalg.slogdet(results["free jacobians"])[1]
    for b, n in enumerate(LENGTHS):
        exponents = results["lyapunov"].exponents[b]
        expected = logs[:n, b].sum() / n if n else np.nan  # no exponents without a step
        np.testing.assert_allclose(exponents.sum(), expected, rtol=1e-9)
    assert np.all(results["flossing"] >= 0)


@pytest.mark.parametrize("name", NAMES)
def test_gates_horizon_and_what_is_kept(x64, name):
    cell, results = CELLS[name], measured(name)
    assert results["gates"].shape == (STEPS, BATCH, len(cell.gates), cell.features)
    assert results["saturation"].shape == (len(cell.gates),)
    assert np.all((results["saturation"] >= 0) & (results["saturation"] <= 1))
    kept = results["steps"].f[VALID].mean(axis=0)
    np.testing.assert_allclose(results["horizon"], 1 / (1 - kept), rtol=1e-12)
    gates = dict(zip(cell.gates, np.moveaxis(results["gates"], -2, 0), strict=True))
    if name in ("JANET", "MinLSTM"):
        np.testing.assert_allclose(results["steps"].f, gates["f"], rtol=1e-12)
    if name == "MinGRU":
        np.testing.assert_allclose(results["steps"].f, 1 - gates["i"], rtol=1e-12)
    if name.startswith("CTRNN"):
        np.testing.assert_allclose(results["keep"], 1 - cell.alpha, rtol=1e-12)
    if name == "PeepholeLSTM":
        c, own = results["steps"].states.c, make_params(cell).own
        z_o = (results["steps"].z_x + results["steps"].z_h)[..., 3 * cell.features :]
        expected = 1 / (1 + np.exp(-(z_o + np.asarray(own.p_o) * c)))
        np.testing.assert_allclose(gates["o"][VALID], expected[VALID], rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_decay_of_a_loss_on_the_last_step_is_that_of_the_total(x64, name):
    """And Ω counts each step of which the gradient reaches the state."""
    results = measured(name)
    norms, exists, totals = results["decay"]
    sizes = np.linalg.norm(totals, axis=-1)
    for b, n in enumerate(LENGTHS):
        np.testing.assert_array_equal(exists[:, 0, b], np.arange(STEPS) < n)
        if n:
            np.testing.assert_allclose(norms[:n, 0, b], sizes[:n, b][::-1] / sizes[n - 1, b], rtol=1e-9)
    assert np.all(np.isfinite(results["omega"]))
    assert np.any(results["omega"] > 0)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name == "IndRNN" else pytest.mark.slow) for name in CELLS],
)
def test_a_diagnosis_and_its_page(name, tmp_path):
    cell = CELLS[name].replace(features=4, param_dtype=jnp.float32)
    result = rnnjax.diagnose(
        cell, make_params(cell), make_inputs(cell, (BATCH,)), lambda final, ys: (final.h**2).sum(axis=-1)
    )
    (layer,) = result.diagnosis.layers
    assert layer.cell == type(cell).__name__
    assert set(layer.saturation) == set(cell.gates)
    if not cell.recurrent_kernel:
        assert np.nanmin(layer.by_lag["belt_share"].q50[1:]) == 1
    page = result.save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert type(cell).__name__ in page
