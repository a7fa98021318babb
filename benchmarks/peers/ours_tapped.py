"""rnnjax with the gradient of every timestep as a result of the same backward pass."""

from typing import Any

import jax

from benchmarks.cases import Case
from benchmarks.peers import Layer
from benchmarks.peers.jax_layer import jax_layer
from benchmarks.peers.ours import module_of


def build(case: Case) -> Layer:
    """``rnnjax.RNN`` whose taps are differentiated, too."""
    module, variables = module_of(case)
    taps = module.zero_taps(case.batch, case.steps)

    def last_output(both: Any, xs: jax.Array) -> jax.Array:
        variables, taps = both
        final, _ = module.apply(variables, xs, taps=taps)
        return final.h

    return jax_layer(case, last_output, (variables, taps))
