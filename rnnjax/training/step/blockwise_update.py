"""An optimizer's rule applied to parameters where they lie."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rnnjax.core.xla_cpu import depend_on

LEAST_IN_BLOCKS = 2**18  # numbers in a matrix that a CPU changes block by block
BLOCK = 2**14  # most numbers in a block, so that all that is read and written of it fits into a core's cache


class UpdateResult(NamedTuple):
    """Parameters after a step, and what is kept for the next one."""

    params: Any
    opt_state: Any
    changes: Any = None  # ΣΔw² of each array, where squares were asked for
    sizes: Any = None  # Σw², before the step


def apply_update(
    rule: optax.GradientTransformation,
    grads: Any,
    params: Any,
    opt_state: Any,
    halted: jax.Array,
    *,
    squares: bool = False,
    in_blocks: bool = True,
) -> UpdateResult:
    """``rule.update`` and ``optax.apply_updates``, in the memory of the parameters and what is kept of them.

    On a CPU a large matrix is changed block by block of its rows, all of a block while it is in the cache. New moments
    wait for the new parameters, which read the old ones: XLA would copy those first.

    Args:
        rule: treats every number of a parameter alike and for itself.
        grads: in the structure of ``params``.
        params: a tree, not an array by itself.
        opt_state: of the rule.
        halted: (), whether nothing changes.
        squares: whether to sum those of ΔW and of W.
        in_blocks: whether there may be blocks; where the compiler divides a matrix, it would gather it for each.
    """
    structure: Any = jax.tree.structure(params)

    def of_params(node: Any) -> bool:
        return jax.tree.structure(node) == structure

    def of_one(i: int) -> Any:  # what is kept of parameter i, and what is common to all, as the number of steps
        return jax.tree.map(lambda a: jax.tree.leaves(a)[i] if of_params(a) else a, opt_state, is_leaf=of_params)

    found = []
    for i, (param, grad) in enumerate(zip(jax.tree.leaves(params), jax.tree.leaves(grads), strict=True)):
        rows = _rows_of_a_block(param.shape) if in_blocks else None
        found.append(_apply(rule, grad, param, of_one(i), halted, squares=squares, rows=rows))

    def of_all(old: Any, *new: Any) -> Any:
        return jax.tree.unflatten(structure, new) if of_params(old) else new[0]

    new_params, kept, sums = zip(*found, strict=True)
    return UpdateResult(
        jax.tree.unflatten(structure, new_params),
        jax.tree.map(of_all, opt_state, *kept, is_leaf=of_params),
        *[jax.tree.unflatten(structure, some) for some in zip(*sums, strict=True)],
    )


def _apply(
    rule: Any, grad: Any, param: Any, kept: Any, halted: Any, *, squares: bool, rows: int | None
) -> tuple[Any, Any, Any]:
    """Of one array: the new one, what is kept of it, and its sums of squares; so many ``rows`` at a time, or all.

    Squares of blocks add up in arrays of a block's shape: XLA's CPU compiler vectorises that, while a sum over each
    block can take as long as the rule. It runs a loop's body straight through only where that has few instructions,
    so the loop counts rows, without a sign, and the next count waits for the last of them, or it would be copied.
    """

    def of_rows(a: Any) -> bool:
        return a.shape == param.shape

    def change(first: Any, carry: Any) -> Any:
        def cut(a: Any) -> Any:
            return a if rows is None else jax.lax.dynamic_slice_in_dim(a, first, rows)

        def put(whole: Any, part: Any) -> Any:
            return part if rows is None else jax.lax.dynamic_update_slice_in_dim(whole, part, first, 0)

        whole, whole_kept, sums = carry
        old, old_kept = cut(whole), jax.tree.map(lambda a, b: cut(b) if of_rows(a) else a, kept, whole_kept)
        updates, new_kept = rule.update(cut(grad), old_kept, old)
        updates = jnp.where(halted, 0, updates)
        new = optax.apply_updates(old, updates)
        if squares:
            sums = jax.tree.map(lambda total, a: total + a**2, sums, (updates, old))
            new = depend_on(sums, new)  # or what they read would be copied for them
        whole, new_kept = put(whole, new), jax.tree.map(lambda a, b: jnp.where(halted, a, b), old_kept, new_kept)
        new_kept = depend_on(whole, new_kept)
        return whole, jax.tree.map(lambda a, b: put(a, b) if of_rows(a) else b, whole_kept, new_kept), sums

    zeros = jnp.zeros_like(param if rows is None else param[:rows])
    begun = param, kept, (zeros, zeros) if squares else ()
    if rows is None:
        param, kept, sums = change(0, begun)
        return param, kept, jax.tree.map(jnp.sum, sums)

    def block(loop: Any) -> Any:
        first, carry = loop
        carry = change(first, carry)
        return depend_on([a for a in jax.tree.leaves(carry[1]) if of_rows(a)], first + rows), carry

    end = len(param)
    _, (param, kept, sums) = jax.lax.while_loop(lambda loop: loop[0] < end, block, (jnp.uint32(0), begun))
    return param, kept, jax.tree.map(jnp.sum, sums)


def _rows_of_a_block(shape: tuple[int, ...]) -> int | None:
    """A divisor of a matrix' rows; None where it is changed as a whole."""
    if jax.default_backend() != "cpu" or len(shape) != 2 or math.prod(shape) < LEAST_IN_BLOCKS:
        return None
    most = max(1, BLOCK // shape[1])
    rows = max(n for n in range(1, most + 1) if shape[0] % n == 0)
    return rows if 4 * rows >= most else None
