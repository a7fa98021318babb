"""A tree that a program returns as one vector is restored exactly."""

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
    flat = jax.jit(flatten_tree)(TREE)
    assert (flat.numbers.shape, flat.numbers.dtype) == ((7,), np.float32)
    actual, wanted = flat.unpack(), jax.tree.map(np.asarray, TREE)
    assert jax.tree.structure(actual) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(wanted), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)


def test_it_can_be_carried_through_loops_and_vmap():
    def doubled(tree):
        return jax.lax.fori_loop(0, 1, lambda _, flat: jax.tree.map(lambda a: 2 * a, flat), flatten_tree(tree))

    two = jax.vmap(doubled)({"a": jnp.array([[1.0, 2.0], [3.0, 4.0]])})
    assert isinstance(two, FlatTree)
    assert_same(jax.tree.map(lambda a: a[1], two).unpack(), {"a": np.array([6.0, 8.0], np.float32)})
