"""What comes first in a program, where XLA's CPU compiler must be told."""

from typing import Any

import jax
import jax.numpy as jnp


def depend_on(first: Any, then: Any) -> Any:
    """``then`` as it is, in a way that needs the arrays of ``first``; on an accelerator as it was.

    An optimization barrier would say so, but XLA's CPU compiler removes it before it decides what to fuse and what to
    copy. So one number of each array is compared with what it never is.

    Args:
        first: arrays of floating numbers, or None.
        then: arrays.
    """
    if jax.default_backend() != "cpu":
        return then
    for values in jax.tree.leaves(first):
        never = values.ravel()[0] < -jnp.inf
        then = jax.tree.map(lambda a, never=never: jnp.where(never, jnp.zeros_like(a), a), then)
    return then
