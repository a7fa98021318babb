"""Compiling for devices that need not be there, here for the CPU; tests/accelerators has the others."""

import importlib.util
import re

import jax
import jax.numpy as jnp
import pytest

from rnnjax.errors import UserError
from rnnjax.sharding.ahead_of_time import compile_for_device, memory_use
from rnnjax.sharding.targets import GPUS, TARGETS


def test_a_function_is_compiled_for_the_device_that_is_given():
    device = jax.devices()[3]
    x = jax.ShapeDtypeStruct((5, 2), jnp.float32)
    compiled = compile_for_device(lambda x, tree: x @ tree["w"], (x, {"w": jnp.ones((2, 3))}), device)
    result = compiled(*jax.device_put((jnp.ones((5, 2)), {"w": jnp.ones((2, 3))}), device))
    assert result.devices() == {device}
    assert result.tolist() == [[2.0] * 3] * 5


def test_memory_counts_arguments_results_and_what_is_between():
    x = jax.ShapeDtypeStruct((300, 200), jnp.float32)
    used = memory_use(compile_for_device(lambda x: jnp.sum(jnp.sort(x @ x.T) @ x), (x,), jax.devices()[0]))
    assert (used.arguments, used.results, used.reused) == (4 * 300 * 200, 4, 0)
    assert used.temporary >= 4 * 300 * 300
    assert used.total == used.arguments + used.results + used.temporary


def test_memory_that_the_results_reuse_is_counted_once():
    x = jax.ShapeDtypeStruct((300, 200), jnp.float32)
    used = memory_use(jax.jit(lambda x: x + 1, donate_argnums=0).lower(x).compile())
    assert used.reused == 4 * 300 * 200
    assert used.total == 4 * 300 * 200 + used.temporary


@pytest.mark.parametrize(("name", "module", "extra"), [("v5e", "libtpu", "tpu"), ("T4", "jax_plugins", "cuda12")])
def test_a_compiler_that_is_not_installed_is_said(name, module, extra):
    if importlib.util.find_spec(module) is not None:
        pytest.skip(f"{module} is installed")
    sentence = (
        f"The compiler for {TARGETS[name].title} is not installed; "
        f'install it with pip install "jax[{extra}]=={jax.__version__}".'
    )
    with pytest.raises(UserError, match=f"^{re.escape(sentence)}$"):
        TARGETS[name].devices()


def test_a_gpu_is_described_with_its_capability_and_memory():
    text = GPUS["T4"].gpu.proto_text(GPUS["T4"].memory_bytes)
    assert "cuda_compute_capability { major: 7 minor: 5 }" in text
    assert f"device_memory_size: {15 * 2**30} " in text
    assert text.count("{") == text.count("}")
