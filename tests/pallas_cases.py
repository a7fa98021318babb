"""Shared by tests of ``backend="pallas"``: cells, and the comparison with the scan."""

import jax
from sequences import FEATURES, assert_close, make_case, total

import rnnjax

BATCH = 4
CELLS = {name: getattr(rnnjax, name)(FEATURES) for name in ("SimpleRNN", "LSTM", "GRU")}


def gradient(cell, arguments, options):
    """(gradient, (final, states)) of a loss that reads every state."""

    def loss(arguments):
        results = rnnjax.unroll(cell, **arguments, **options)
        return total(results), results

    return jax.jit(jax.grad(loss, has_aux=True))(arguments)


def check(cell, arguments, options, tolerance=1e-5):
    found = gradient(cell, arguments, options | {"backend": "pallas"})
    assert_close(found, gradient(cell, arguments, options), tolerance)


def ragged_case(name):
    return CELLS[name], *make_case(CELLS[name], (BATCH,), "state taps lengths")
