"""An interception ends also under ``python -O``, where Flax's own does not."""

import subprocess
import sys
from pathlib import Path

import pytest
from sequences import slow_unless

pytestmark = pytest.mark.slow

CODE = """
import jax, jax.numpy as jnp, rnnjax
from rnnjax.nn.interception import intercept_methods
layer, xs, seen = rnnjax.RNN(rnnjax.LSTM(2)), jnp.ones((1, 3, 2)), []
variables = layer.init(jax.random.key(0), xs)
def note(call, args, kwargs, context):
    seen.append(context.method_name)
    return call(*args, **kwargs)
with intercept_methods(note):
    layer.apply(variables, xs)
count = len(seen)
layer.apply(variables, xs)
print(count > 0, len(seen) == count)
"""


@pytest.mark.parametrize("option", ["-OO", slow_unless(False, "-B")])
def test_an_interception_ends_without_assertions(option):
    command = [sys.executable, option, "-c", CODE]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"
