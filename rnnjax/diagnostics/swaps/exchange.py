"""Sequences in which the inputs at some distances from the end are those of another example.

Shapes: B or N examples, T steps, D numbers in a step. The lag of a step is its distance from the example's last valid
step, whose lag is 0.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.argument_checks import as_int32, check_array, check_integer, check_integers, check_shape
from rnnjax.typing import AnyArray


class SwapPartners(NamedTuple):
    """N examples, the shortest first, and for each the inputs of another one."""

    rows: np.ndarray  # (N,) the examples
    others: np.ndarray  # (N, T) or (N, T, D) inputs of another example, moved so that both end at the same step


def swap_lags(inputs: AnyArray, others: AnyArray, lengths: AnyArray, first: AnyArray, stop: AnyArray) -> jax.Array:
    """``inputs`` with the steps at the lags ``first`` to ``stop`` - 1 taken from ``others``.

    A pure function, for ``jax.jit`` and ``jax.vmap``: ``first`` and ``stop`` may be traced. Steps that an example does
    not have, and padding, stay as they are.

    Args:
        inputs: (B, T) ids or (B, T, D) numbers.
        others: the same of other examples, which end at the same steps, see ``swap_partners``.
        lengths: (B,) valid steps of each example.
        first: the smallest lag that is exchanged, () integer of at least 0.
        stop: () integer, the largest lag that is exchanged, plus 1. All inputs further back than the last k are
            exchanged by first = k and stop = T, the single input at lag d by first = d and stop = d + 1.

    Raises:
        ValueError: another shape; or lengths, ``first`` or ``stop`` out of range, where they are not traced.
    """
    check_array("inputs", inputs, "(B, T, ...)")
    check_shape("others", others, inputs.shape)
    check_integers("lengths", lengths, inputs.shape[:1], 0, inputs.shape[1])
    for name, value in (("first", first), ("stop", stop)):
        check_integers(name, value, (), 0)
    lags = as_int32(lengths)[:, None] - 1 - jnp.arange(inputs.shape[1], dtype=jnp.int32)[None, :]
    exchanged = (lags >= 0) & (lags >= as_int32(first)) & (lags < as_int32(stop))
    return jnp.where(exchanged.reshape(*exchanged.shape, *[1] * (inputs.ndim - 2)), others, inputs)


def swap_partners(inputs: np.ndarray, lengths: np.ndarray, count: int | None = None, seed: int = 0) -> SwapPartners:
    """Random examples, and for each another one that is as long or, where there is none, the next longer.

    So every step has a counterpart at the same lag, and lengths, which can give an answer away, stay as they are. The
    other example has any label: it is the next one after all that were drawn are sorted by length, equal lengths in
    random order. The last of them has no next one, and is left out.

    Args:
        inputs: (M, T) ids or (M, T, D) numbers, left-aligned.
        lengths: (M,) valid steps, at least 1.
        count: how many examples are wanted; all but one if not given or if there are fewer.
        seed: of the draw.

    Returns:
        N = min(``count``, M - 1) examples.

    Raises:
        ValueError: fewer than two examples, or a shape or length that does not fit.
    """
    check_array("inputs", inputs, "(M, T, ...)")
    check_integers("lengths", lengths, inputs.shape[:1], 1, inputs.shape[1])
    if len(lengths) < 2:
        raise ValueError("inputs must hold at least two examples, so that each has another one, got one")
    if count is not None:
        check_integer("count", count, 1)
    drawn = np.random.default_rng(seed).permutation(len(lengths))[: None if count is None else count + 1]
    rows = drawn[np.argsort(lengths[drawn], kind="stable")]
    own, other = lengths[rows[:-1]].astype(np.int64), lengths[rows[1:]].astype(np.int64)
    steps = np.arange(inputs.shape[1])[None] + (other - own)[:, None]
    return SwapPartners(rows[:-1], inputs[rows[1:, None], np.minimum(steps, inputs.shape[1] - 1)])
