"""Chunks of steps, which a CPU works on while they are in a core's cache; and a scan backwards that copies no carry."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from rnnjax.cells import Cell
from rnnjax.core.xla_cpu import depend_on

CACHE_BYTES = 2**20  # of gate inputs that are worked on while they are in a CPU core's cache
FEWEST_STEPS = 8  # in a chunk, or its products would be too small


def chunk_length(cell: Cell, xs: jax.Array) -> int:
    """How many of the T steps are worked on before the next ones; where that does not divide T, steps are added."""
    steps, rows, _ = xs.shape
    if jax.default_backend() != "cpu":
        return steps
    most = max(FEWEST_STEPS, CACHE_BYTES // (rows * len(cell.gates) * cell.features * cell.state_dtype.itemsize))
    if most >= steps:
        return steps
    best = max(k for k in range(1, most + 1) if steps % k == 0)
    return best if 2 * best >= most else -(-steps // -(-steps // most))


def pad_to_chunks(length: int, xs: jax.Array, mask: Any, taps: Any, hold: Any) -> tuple[Any, Any, Any, Any]:
    """Arrays of T steps with as many more, which the mask leaves out, as whole chunks of ``length`` steps need."""
    missing = -len(xs) % length
    if missing == 0:
        return xs, mask, taps, hold
    mask = jnp.ones_like(xs[..., :1], bool) if mask is None else mask
    return jax.tree.map(lambda a: jnp.pad(a, [(0, missing), (0, 0), (0, 0)]), (xs, mask, taps, hold))


def scan_chunks(
    body: Callable[..., Any], carry: Any, inputs: Any, length: int, entering: Any = None, reverse: bool = False
) -> Any:
    """``lax.scan`` of ``body(carry, (inputs, entering))`` over ``length`` rows of the inputs, and one row of the other.

    ``entering`` has a row for each chunk.
    """
    steps = jax.tree.leaves(inputs)[0].shape[0]
    if length == steps:
        return body(carry, (inputs, jax.tree.map(lambda a: a[0], entering)))
    chunks = jax.tree.map(lambda a: a.reshape(-1, length, *a.shape[1:]), inputs)
    carry, outputs = jax.lax.scan(body, carry, (chunks, entering), reverse=reverse)
    return carry, jax.tree.map(lambda a: a.reshape(steps, *a.shape[2:]), outputs)


def scan_backwards(body: Callable[..., Any], carry: Any, inputs: Any, outputs: Any) -> Any:
    """``lax.scan`` of ``body`` in reverse, a pair as carry, of which the first waits for the outputs of its step.

    They read the old one, of which XLA's CPU compiler would make a copy. ``outputs`` are arrays like all of them.
    """
    steps = jax.tree.leaves(inputs)[0].shape[0]

    def step(k: Any, loop: Any) -> Any:
        carry, rows = loop
        t = (steps - 1 - k).astype(jnp.uint32)  # unsigned, or each use would ask whether it counts from the end
        carry, new = body(carry, jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, t, keepdims=False), inputs))
        rows = jax.tree.map(lambda a, b: jax.lax.dynamic_update_index_in_dim(a, b, t, 0), rows, new)
        return (depend_on(rows, carry[0]), carry[1]), rows

    return jax.lax.fori_loop(0, steps, step, (carry, jax.tree.map(jnp.zeros_like, outputs)))
