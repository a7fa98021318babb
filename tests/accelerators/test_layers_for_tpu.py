"""Each cell, forward and backward with taps, compiled for one TPU v5e; skipped where libtpu is not installed."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from benchmarks.cases import Case
from benchmarks.layer_programs import layer_program
from rnnjax.sharding.ahead_of_time import compile_for_device, memory_use
from rnnjax.sharding.compiled_text import host_calls, loops

pytestmark = pytest.mark.slow
STEPS, BATCH, FEATURES = 500, 32, 128
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("reads", ["last", "all"])
@pytest.mark.parametrize("what", ["gradient", "gradient, norm taps", "gradient, taps", "gradient, given taps"])
@pytest.mark.parametrize("cell", ["simple", "lstm", "gru"])
def test_a_layer_is_one_loop_forward_and_one_back_in_the_memory_that_it_needs(cell, what, reads, target):
    case = Case(cell, BATCH, STEPS, FEATURES)
    program = layer_program("rnnjax", case, what, reads)
    compiled = compile_for_device(program.function, program.arguments, target("v5e").devices()[0])
    text = compiled.as_text()
    assert ["transpose(" in loop.text for loop in loops(text)] == [False, True]
    assert host_calls(text) == []
    assert "f64[" not in text
    states = 4 * STEPS * BATCH * FEATURES  # bytes of h of all steps
    assert memory_use(compiled).total < 20 * states


@pytest.mark.parametrize(("precision", "rounded"), [("default", True), ("highest", False)])
@pytest.mark.parametrize("cell", ["simple", "lstm", "gru"])
def test_the_precision_decides_whether_factors_are_rounded_to_bfloat16(cell, precision, rounded, target):
    program = layer_program("rnnjax", Case(cell, BATCH, STEPS, FEATURES), "gradient", "last")
    with jax.default_matmul_precision(precision):
        compiled = compile_for_device(program.function, program.arguments, target("v5e").devices()[0])
    assert ("bf16[" in compiled.as_text()) is rounded


def test_bundles_of_a_step_are_counted(target, tmp_path):
    """In a process of its own, because libtpu reads its options when it is loaded."""
    target("v5e")
    flags = f"--cells simple --sizes {BATCH},50,{FEATURES} --out {tmp_path / 'counted.json'}"
    command = [sys.executable, "-m", "benchmarks.ahead_of_time", *flags.split()]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (case,) = json.loads((tmp_path / "counted.json").read_text())["counted"]
    bundles = {
        (one["library"], one["what"], one["reads"]): {body["backward"]: body["count"] for body in one["loops"]}
        for one in case["programs"]
    }
    for reads in ("last", "all"):  # what only the product after the loop reads is stored as any other state
        plain, norms, taps, given = (
            bundles["rnnjax", f"gradient{taps}", reads] for taps in ("", ", norm taps", ", taps", ", given taps")
        )
        flax = bundles["flax.linen", "gradient", reads]
        assert 0 < bundles["rnnjax", "forward", reads][False] < bundles["flax.linen", "forward", reads][False]
        assert 0 < plain[False] == norms[False] == taps[False] < given[False]  # zeros need not be read and added
        assert 0 < plain[True] <= norms[True] <= plain[True] + 10
        assert sum(taps.values()) <= 1.1 * sum(plain.values())
        assert sum(plain.values()) <= 0.5 * sum(flax.values())
