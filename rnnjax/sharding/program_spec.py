"""What a function must say of itself to become a program for several runs on several devices.

It is written for one member (one run) and the share of a batch that one device holds.
"""

import dataclasses
import enum
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

Together = Literal["vmap", "map"]


@dataclasses.dataclass(frozen=True)
class BatchShard:
    """How a function that holds a share of a batch speaks to those that hold the others; alone without ``axis``.

    Of parameters where ``parts`` is true, as of what an optimizer keeps of them, it holds a share of the rows.
    """

    axis: str | None = None
    parts: Any = False  # in the structure of the parameters, or for all of them
    in_blocks: bool = True  # whether rows that are held may be changed block by block; not where the compiler has them

    def sum(self, tree: Any) -> Any:
        """Sum over all shares."""
        return tree if self.axis is None else jax.lax.psum(tree, self.axis)

    def gather(self, tree: Any, axis: int) -> Any:
        """All shares side by side along ``axis`` of the arrays."""
        if self.axis is None:
            return tree
        return jax.tree.map(lambda a: jax.lax.all_gather(a, self.axis, axis=axis, tiled=True), tree)

    def whole(self, params: Any) -> Any:
        """Parameters with all their rows."""
        return jax.tree.map(lambda parted, a: self.gather(a, axis=0) if parted else a, self.parts, params)

    def sum_gradients(self, grads: Any) -> Any:
        """Sum over all shares, of gradients of whole parameters; of the rows that are held here."""

        def own(a: jax.Array) -> jax.Array:
            return jax.lax.psum_scatter(a, self.axis, scatter_dimension=0, tiled=True)

        return jax.tree.map(
            lambda parted, some: jax.tree.map(own, some) if parted else self.sum(some), self.parts, grads
        )

    def side_by_side(self, tree: Any) -> Any:
        """Every share's arrays along a new first axis, in one exchange."""
        numbers, restore = ravel_pytree(tree)
        return jax.vmap(restore)(self.gather(numbers[None], axis=0))

    def over_rows(self, sums: Any) -> Any:
        """Sums over the rows of whole arrays, of ``side_by_side`` sums over those that each share holds."""

        def total(parted: bool, a: jax.Array) -> jax.Array:
            return a.sum(axis=0) if parted else a[0]

        return jax.tree.map(lambda parted, some: jax.tree.map(partial(total, parted), some), self.parts, sums)

    def norm(self, tree: Any) -> jax.Array:
        """The norm of all numbers of whole arrays, of which the rows are given that are held here."""
        squares = jax.tree.map(lambda a: jnp.sum(a * a), tree)
        squares = jax.tree.map(lambda parted, some: self.sum(some) if parted else some, self.parts, squares)
        return jnp.sqrt(optax.tree.sum(squares))

    def rows(self, size: int) -> jax.Array:
        """Which examples of the whole batch the ``size`` ones of this share are."""
        first = 0 if self.axis is None else jax.lax.axis_index(self.axis) * size
        return first + jnp.arange(size)


WHOLE_BATCH = BatchShard()


class ShardingRole(enum.Enum):
    """How an argument of a program is divided."""

    MEMBER = enum.auto()  # the leading axis counts members
    PARAMS = enum.auto()  # likewise; large matrices in it are divided over the model axis, or over that of the data
    BATCH = enum.auto()  # likewise, and the last axis counts the examples of a batch
    SHARED = enum.auto()  # the same for everyone


class ProgramSpec(NamedTuple):
    """A function to be compiled, of one member and one share of a batch, and what it will be called with."""

    function: Callable[..., Any]
    roles: tuple[Any, ...]  # of each a role, or a tree of them, as in ``jax.vmap``
    arguments: tuple[Any, ...]  # of one member, whole batches; their shapes and dtypes count
    returns: tuple[int | None, ...]  # for each result the argument that it lies like; None: by member
    donated: tuple[int, ...] = ()  # positions of the arguments whose memory the results may take


def over_members(function: Callable[..., Any], roles: tuple[Any, ...], together: Together) -> Callable[..., Any]:
    """``function`` of one member for several: "vmap" all at once, "map" one after the other in one program.

    On a CPU, products of one member at a time are faster than batched ones; an accelerator wants large ones.
    """
    if together == "vmap":
        return jax.vmap(function, in_axes=[None if role is ShardingRole.SHARED else 0 for role in roles])

    def in_turn(*arguments: Any) -> Any:
        shared = [a if role is ShardingRole.SHARED else None for a, role in zip(arguments, roles, strict=True)]

        def one(own: list[Any]) -> Any:
            pairs = zip(own, shared, roles, strict=True)
            return function(*[all_ if role is ShardingRole.SHARED else mine for mine, all_, role in pairs])

        own = [None if role is ShardingRole.SHARED else a for a, role in zip(arguments, roles, strict=True)]
        return jax.lax.map(one, own)

    return in_turn
