"""An optimizer's update applied to the parameters in their own memory, large matrices block by block."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rnnjax.core.compilers import XLA_CPU, Compiler, for_platform
from rnnjax.typing import ModelParams, PyTree

FEWEST_IN_BLOCKS = 2**18  # numbers in a matrix that a CPU updates block by block
BLOCK = 2**14  # most numbers in a block, so that all that is read and written of it fits into a core's cache
SHARED = -1  # in the place of a parameter's index: what the optimizer keeps for all of them, as the number of steps


class UpdateResult(NamedTuple):
    """Parameters and optimizer's state after a step."""

    params: ModelParams
    opt_state: PyTree
    changes: PyTree = None  # ΣΔw² of each array, where squares were asked for
    sizes: PyTree = None  # Σw² of each array, before the step


def apply_update(
    optimizer: optax.GradientTransformation,
    grads: PyTree,
    params: ModelParams,
    opt_state: PyTree,
    halted: jax.Array,
    *,
    squares: bool = False,
    in_blocks: bool = True,
) -> UpdateResult:
    """``optimizer.update`` and ``optax.apply_updates``, one parameter after the other.

    On a CPU a large matrix is updated in blocks of rows, all of a block while it is in the cache.

    Args:
        optimizer: treats every number of a parameter alike and by itself, as Adam does.
        grads: in the structure of ``params``.
        params: arrays, in any nesting.
        opt_state: of the optimizer.
        halted: (), whether nothing changes.
        squares: whether to sum the squares of Δw and of w.
        in_blocks: whether there may be blocks; where the compiler divides a matrix over devices, it would gather the
            matrix for each block.
    """
    leaves, structure = jax.tree.flatten(params)
    indices = jax.tree.unflatten(structure, range(len(leaves)))
    index_of = optax.tree_utils.tree_map_params(
        optimizer, lambda _, index: index, opt_state, indices, transform_non_params=lambda _: SHARED
    )

    def only(index: int, indices: PyTree, tree: PyTree) -> PyTree:
        """``tree`` with None in the place of all other parameters, which optax then leaves out."""
        return jax.tree.map(lambda i, a: a if i in (index, SHARED) else None, indices, tree)

    results = []
    for index, leaf in enumerate(leaves):
        own = only(index, indices, grads), only(index, indices, params), only(index, index_of, opt_state)
        update = partial(_update_whole, optimizer, squares=squares)
        if in_blocks and (rows := _rows_of_a_block(leaf.shape)) is not None:
            blocks = partial(_update_in_blocks, optimizer, squares=squares, rows=rows)
            update = partial(for_platform, partial(_blocks_or_whole, blocks, update))
        results.append(update(*own, halted))

    def gather(indices: PyTree, trees: Any) -> PyTree:
        """Each parameter's part out of its own tree."""
        return jax.tree.map(lambda i, *parts: parts[max(i, 0)], indices, *trees)

    new_params, new_states, *sums = zip(*results, strict=True)
    squared = [jax.tree.unflatten(structure, values) for values in sums] if squares else []
    return UpdateResult(gather(indices, new_params), gather(index_of, new_states), *squared)


def _blocks_or_whole(
    blocks: Callable[..., Any], whole: Callable[..., Any], compiler: Compiler, *arguments: PyTree
) -> Any:
    return (blocks if compiler.is_cpu else whole)(*arguments)


def _update_whole(
    optimizer: optax.GradientTransformation,
    grads: PyTree,
    params: ModelParams,
    opt_state: PyTree,
    halted: jax.Array,
    *,
    squares: bool,
) -> tuple[ModelParams, PyTree, jax.Array | None, jax.Array | None]:
    """Of one parameter, in trees without the others: the new one, the new state, ΣΔw² and Σw²."""

    def depend_on(first: PyTree, then: PyTree) -> PyTree:
        return for_platform(Compiler.depend_on, first, then)

    updates, new_state = optimizer.update(grads, opt_state, params)
    updates = jax.tree.map(lambda u: jnp.where(halted, 0, u), updates)
    new = optax.apply_updates(params, updates)
    squared: Any = (None, None)
    if squares:
        squared = jax.tree.map(jnp.square, (*jax.tree.leaves(updates), *jax.tree.leaves(params)))
        new = depend_on(squared, new)
    new_state = jax.tree.map(lambda old, a: jnp.where(halted, old, a), opt_state, new_state)
    return new, depend_on(new, new_state), *jax.tree.map(jnp.sum, squared)


def _update_in_blocks(
    optimizer: optax.GradientTransformation,
    grads: PyTree,
    params: ModelParams,
    opt_state: PyTree,
    halted: jax.Array,
    *,
    squares: bool,
    rows: int,
) -> tuple[ModelParams, PyTree, jax.Array | None, jax.Array | None]:
    """``_update_whole`` for so many rows of the matrix at a time, on a CPU.

    Squares of blocks add up in arrays of a block's shape: XLA's CPU compiler vectorises that, while a sum over each
    block can take as long as the update. The compiler runs the body of a loop without a call for each operation only
    where the body has few of them: so the loop counts rows, as unsigned numbers, which need no checks. The next count
    depends on the last block: otherwise the compiler would copy that block.
    """
    (matrix,) = jax.tree.leaves(params)

    def is_matrix(a: jax.Array) -> bool:
        return a.shape == matrix.shape

    def block(loop: Any) -> Any:
        first, params, state, sums = loop

        def cut(a: jax.Array) -> jax.Array:
            return jax.lax.dynamic_slice_in_dim(a, first, rows) if is_matrix(a) else a

        def put(whole: jax.Array, part: jax.Array) -> jax.Array:
            return jax.lax.dynamic_update_slice_in_dim(whole, part, first, 0) if is_matrix(whole) else part

        old, old_grads = jax.tree.map(cut, (params, grads))
        old_state = jax.tree.map(lambda begun, now: cut(now) if is_matrix(now) else begun, opt_state, state)
        updates, new_state = optimizer.update(old_grads, old_state, old)
        updates = jax.tree.map(lambda u: jnp.where(halted, 0, u), updates)
        new = optax.apply_updates(old, updates)
        if squares:
            changes = (*jax.tree.leaves(updates), *jax.tree.leaves(old))
            sums = jax.tree.map(lambda total, a: total + a**2, sums, changes)
            new = XLA_CPU.depend_on(sums, new)  # or what they read would be copied for them
        params = jax.tree.map(put, params, new)
        new_state = jax.tree.map(lambda a, b: jnp.where(halted, a, b), old_state, new_state)
        state = jax.tree.map(put, state, XLA_CPU.depend_on(params, new_state))
        matrices = [a for a in jax.tree.leaves(state) if is_matrix(a)]
        return XLA_CPU.depend_on(matrices, first + rows), params, state, sums

    zeros = jnp.zeros_like(matrix[:rows])
    begun = jnp.uint32(0), params, opt_state, (zeros, zeros) if squares else ()
    _, params, opt_state, sums = jax.lax.while_loop(lambda loop: loop[0] < len(matrix), block, begun)
    return params, opt_state, *(jax.tree.map(jnp.sum, sums) if squares else (None, None))


def _rows_of_a_block(shape: tuple[int, ...]) -> int | None:
    """A divisor of a large matrix' rows; None for what is updated as a whole."""
    if len(shape) != 2 or math.prod(shape) < FEWEST_IN_BLOCKS:
        return None
    most = max(1, BLOCK // shape[1])
    rows = max(n for n in range(1, most + 1) if shape[0] % n == 0)
    return rows if 4 * rows >= most else None
