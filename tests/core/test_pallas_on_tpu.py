"""``backend="pallas"`` on TPUs: simulated, and at its first use; compiled in ``tests/accelerators``."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import pallas
from pallas_cases import BATCH, CELLS, check, gradient, ragged_case
from sequences import FEATURES, STEPS, assert_close, make_case, make_inputs, make_params

import rnnjax
from rnnjax.core.pallas import first_use, kernels, scan, vmem

pytestmark = pytest.mark.slow


@pytest.fixture
def nothing_traced():
    """What was traced before or is traced during one test is not used in another."""

    def forget():
        first_use._error.cache_clear()
        scan._forward.clear_cache()
        scan._backward.clear_cache()

    forget()
    yield
    forget()


@pytest.mark.slow
@pytest.mark.parametrize("name", CELLS)
def test_in_a_simulated_tpu_whose_memory_is_nan_at_first(nothing_traced, monkeypatch, name):
    """JAX's simulation of a TPU's copies and memories, where "interpret" alone has whole arrays."""
    from jax.experimental.pallas import tpu

    simulated = tpu.InterpretParams(uninitialized_memory="nan")
    run_kernel = pallas.pallas_call
    monkeypatch.setattr(vmem, "MOST_STEPS", 3)  # several blocks, the last one with a step that is appended
    monkeypatch.setattr(pallas, "pallas_call", lambda *a, **k: run_kernel(*a, **k | {"interpret": simulated}))
    monkeypatch.setattr(scan, "_of_platform", lambda function, *arguments: function(True, *arguments))
    arguments, options = make_case(CELLS[name], (BATCH,), "state taps lengths dropout")
    options["resets"] = jnp.asarray(np.random.default_rng(0).random((STEPS, BATCH)) < 0.3)
    check(CELLS[name], arguments, options)


def test_a_program_has_kernels_for_a_tpu_alone():
    """Whatever the platform it is traced on."""
    cell, arguments, options = ragged_case("LSTM")
    options["backend"] = "pallas"
    trace = jax.jit(lambda arguments: gradient(cell, arguments, options)).trace(arguments)
    texts = {name: trace.lower(lowering_platforms=(name,)).as_text() for name in ("tpu", "cpu", "cuda")}
    assert {name: text.count("tpu_custom_call") for name, text in texts.items()} == {"tpu": 2, "cpu": 0, "cuda": 0}
    assert "stablehlo.while" not in texts["tpu"]


@pytest.fixture
def on_a_tpu(monkeypatch, nothing_traced):
    """As if this process had a TPU, so that the first use compares the kernels with the scan."""
    monkeypatch.setattr(scan, "has_tpu", lambda: True)


def test_the_first_use_on_a_tpu_compares_once_for_each_shape(on_a_tpu):
    cell, found = CELLS["SimpleRNN"], []
    for batch in (BATCH, BATCH, BATCH + 1):
        rnnjax.unroll(cell, make_params(cell), make_inputs(cell, (batch,)), backend="pallas")
        found.append(first_use._error.cache_info().misses)
    assert found == [1, 1, 2]


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (
            lambda *_: jnp.full((BATCH, 4 * FEATURES), 0.1),
            r"differs from backend='scan' on this TPU, by [0-9.]+ of the norm",
        ),
        (lambda *_: 1 / 0, r"does not compile on this TPU \(ZeroDivisionError: division by zero\); backend='scan' is"),
    ],
)
def test_wrong_kernels_are_replaced_by_the_scan_with_a_warning(on_a_tpu, monkeypatch, broken, sentence):
    cell, arguments, options = ragged_case("LSTM")
    expected = gradient(cell, arguments, options)
    monkeypatch.setattr(kernels, "_project", broken)
    with pytest.warns(UserWarning, match=sentence):
        found = gradient(cell, arguments, options | {"backend": "pallas"})
    assert_close(found, expected, 1e-6)
