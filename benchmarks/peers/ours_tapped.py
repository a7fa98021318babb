"""rnnjax with the gradient of every timestep from the same backward pass."""

from typing import Any

import jax

from benchmarks.cases import Case
from benchmarks.peers import Layer
from benchmarks.peers.jax_layer import jax_layer
from benchmarks.peers.ours import build_module


def build(case: Case) -> Layer:
    """``rnnjax.RNN`` whose loss is also differentiated with respect to the taps."""
    module, variables = build_module(case)
    taps = module.zero_taps(case.batch, case.steps)

    def last_output(variables_and_taps: Any, xs: jax.Array) -> jax.Array:
        variables, taps = variables_and_taps
        final, _ = module.apply(variables, xs, taps=taps)
        return final.h

    return jax_layer(case, last_output, (variables, taps))
