"""A tree that goes through a program as one vector comes out as it went in."""

import jax
import jax.numpy as jnp
import numpy as np
from sequences import assert_same

from rnnjax.training.step.flat_tree import FlatTree, flatten_tree

TREE = {
    "counts": jnp.arange(3) + 2**24 - 2,
    "nested": (jnp.array([[0.1, jnp.nan, -jnp.inf]]), jnp.array(2.5)),
    "empty": jnp.zeros((0, 2)),
}


def test_all_numbers_come_back_with_their_shapes_and_dtypes():
    packed = jax.jit(flatten_tree)(TREE)
    assert (packed.numbers.shape, packed.numbers.dtype) == ((7,), np.float32)
    actual, wanted = packed.unpack(), jax.tree.map(np.asarray, TREE)
    assert jax.tree.structure(actual) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(wanted), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)


def test_programs_carry_it_as_they_carry_a_vector():
    def doubled(tree):
        return jax.lax.fori_loop(0, 1, lambda _, packed: jax.tree.map(lambda a: 2 * a, packed), flatten_tree(tree))

    two = jax.vmap(doubled)({"a": jnp.array([[1.0, 2.0], [3.0, 4.0]])})
    assert isinstance(two, FlatTree)
    assert_same(jax.tree.map(lambda a: a[1], two).unpack(), {"a": np.array([6.0, 8.0], np.float32)})
