"""States of any structure as vectors of real numbers, and back."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from rnnjax.typing import PyTree


def state_to_vector(state: PyTree) -> jax.Array:
    """All numbers of one state as a vector (S,); a complex array gives its real parts, then its imaginary parts."""
    return ravel_pytree(jax.tree.map(lambda a: (a.real, a.imag) if jnp.iscomplexobj(a) else a, state))[0]


def vector_to_state(template: PyTree) -> Callable[[jax.Array], PyTree]:
    """The inverse of ``state_to_vector`` for states of the structure, shapes and dtypes of ``template``."""
    parts = jax.tree.map(lambda a: (a.real, a.imag) if jnp.iscomplexobj(a) else a, template)
    unravel = ravel_pytree(parts)[1]

    def join(a: jax.Array, part: PyTree) -> jax.Array:
        return jax.lax.complex(*part) if jnp.iscomplexobj(a) else part

    return lambda vector: jax.tree.map(join, template, unravel(vector))
