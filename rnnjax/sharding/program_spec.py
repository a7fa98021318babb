"""The description of a function that is compiled for several runs on several devices.

The function is written for one member (one run) of an ensemble and for one shard of a batch, that of one device.
"""

import dataclasses
import enum
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from rnnjax.typing import ModelParams, PyTree

MemberLoop: TypeAlias = Literal["vmap", "map"]  # all members at once, or one after the other in one program
Roles: TypeAlias = PyTree  # a ``ShardingRole`` for a whole argument, or a pytree prefix of it with such leaves


class Division(enum.Enum):
    """Which part of a parameter, and of its optimizer state, each shard of a batch holds."""

    WHOLE = enum.auto()  # all of it
    ROWS = enum.auto()  # its part of the rows; all rows are gathered before they are used
    COLUMNS = enum.auto()  # of word vectors, its part of each; see ``nn.embedding.divided_columns``


@dataclasses.dataclass(frozen=True)
class BatchShard:
    """The shard of a batch that a function computes on, and collective operations over all shards.

    Without ``axis_name`` the shard is the whole batch, and no operation communicates.

    Attributes:
        axis_name: of the mesh or pmap axis that the batch is divided over.
        division: of each parameter, or of all of them.
        blockwise: whether rows may be updated block by block; False where the compiler divides matrices.
    """

    axis_name: str | None = None
    division: PyTree = Division.WHOLE
    blockwise: bool = True

    @property
    def columns_axis(self) -> str | None:
        """The axis that the columns of word vectors are divided over; None where they are not."""
        return self.axis_name if Division.COLUMNS in jax.tree.leaves(self.division) else None

    def psum(self, tree: PyTree) -> PyTree:
        """Sum over all shards."""
        return tree if self.axis_name is None else jax.lax.psum(tree, self.axis_name)

    def all_gather(self, tree: PyTree, axis: int) -> PyTree:
        """The arrays of all shards, concatenated along ``axis``."""
        if self.axis_name is None:
            return tree
        return jax.tree.map(lambda a: jax.lax.all_gather(a, self.axis_name, axis=axis, tiled=True), tree)

    def all_gather_stacked(self, tree: PyTree) -> PyTree:
        """The arrays of all shards along a new first axis, by a single collective operation."""
        flat, unravel = ravel_pytree(tree)
        return jax.vmap(unravel)(self.all_gather(flat[None], axis=0))

    def all_gather_rows(self, params: ModelParams) -> ModelParams:
        """Parameters with the rows of all shards; of divided columns, those of this shard."""

        def gather(division: Division, params: ModelParams) -> ModelParams:
            return self.all_gather(params, axis=0) if division is Division.ROWS else params

        return jax.tree.map(gather, self.division, params)

    def all_gather_params(self, params: ModelParams) -> ModelParams:
        """Whole parameters."""

        def gather(division: Division, params: ModelParams) -> ModelParams:
            return self.all_gather(params, axis=1) if division is Division.COLUMNS else params

        return jax.tree.map(gather, self.division, self.all_gather_rows(params))

    def reduce_gradients(self, grads: ModelParams) -> ModelParams:
        """Sum over all shards; of divided parameters only the part of this shard is returned.

        Args:
            grads: with respect to parameters as ``all_gather_rows`` returns them. Those of divided columns are summed
                already, since each shard looks up its columns for the examples of all shards.
        """

        def reduce_scatter(a: jax.Array) -> jax.Array:
            return jax.lax.psum_scatter(a, self.axis_name, scatter_dimension=0, tiled=True)

        def reduce(division: Division, grads: ModelParams) -> ModelParams:
            if division is Division.WHOLE:
                return self.psum(grads)
            return jax.tree.map(reduce_scatter, grads) if division is Division.ROWS else grads

        return jax.tree.map(reduce, self.division, grads)

    def sum_parts(self, sums: PyTree) -> PyTree:
        """Sums over whole parameters, from those of each shard that ``all_gather_stacked`` has gathered."""

        def total(division: Division, sums: PyTree) -> PyTree:
            return jax.tree.map(lambda a: a[0] if division is Division.WHOLE else a.sum(axis=0), sums)

        return jax.tree.map(total, self.division, sums)

    def global_norm(self, tree: ModelParams) -> jax.Array:
        """The norm of a tree like the parameters, of which this shard holds its part.

        Right also where squares are too large for the dtype, in float32 from norms of 1.8e19 on: an exploding gradient
        is to be clipped, and not taken for an infinite one. There the tree is read once more.
        """
        squares = self._sum_over_parts(jax.tree.map(lambda a: jnp.sum(a * a), tree))
        fits = jnp.isfinite(squares)
        # not a constant, of which the compiler could first compute the square
        scale = jnp.where(fits, 1, 2.0 ** -(jnp.finfo(squares.dtype).maxexp * 5 // 8)).astype(squares.dtype)
        scaled = jax.lax.cond(
            fits,
            lambda tree: jax.tree.map(lambda a: jnp.zeros((), a.dtype), tree),
            lambda tree: jax.tree.map(lambda a: jnp.sum(jnp.square(scale * a)), tree),
            tree,
        )
        return jnp.where(fits, jnp.sqrt(squares), jnp.sqrt(self._sum_over_parts(scaled)) / scale)

    def _sum_over_parts(self, squares: PyTree) -> jax.Array:
        """The sum of a scalar for each parameter; those of divided parameters are of this shard's part."""

        def sum_parts(division: Division, squares: PyTree) -> PyTree:
            return squares if division is Division.WHOLE else self.psum(squares)

        squares = jax.tree.map(sum_parts, self.division, squares)
        total: jax.Array = optax.tree.sum(squares)
        return total

    def example_indices(self, size: int) -> jax.Array:
        """Positions in the whole batch of the ``size`` examples of this shard."""
        start = 0 if self.axis_name is None else jax.lax.axis_index(self.axis_name) * size
        return start + jnp.arange(size)


WHOLE_BATCH = BatchShard()


class ShardingRole(enum.Enum):
    """How an argument of a program is divided over devices."""

    MEMBER = enum.auto()  # the leading axis counts members
    PARAMS = enum.auto()  # likewise; large matrices are divided over the model axis, or over the data axis
    BATCH = enum.auto()  # the leading axis counts members, the last axis the examples of a batch
    SHARED = enum.auto()  # the same for all members, without a member axis


class ProgramSpec(NamedTuple):
    """A function of one member and one shard of a batch, and the arguments that it is compiled for."""

    function: Callable[..., PyTree]
    roles: tuple[Roles, ...]  # of each argument
    arguments: tuple[PyTree, ...]  # of one member with whole batches; only shapes and dtypes count
    results_like: tuple[int | None, ...]  # for each result the argument that it is divided like; None: by member
    donate_argnums: tuple[int, ...] = ()  # arguments whose memory the results may take


def map_members(
    function: Callable[..., PyTree], roles: tuple[Roles, ...], member_loop: MemberLoop
) -> Callable[..., PyTree]:
    """``function`` of one member, for arguments with a leading member axis.

    On a CPU, products of one member at a time are faster than batched ones; an accelerator is faster with batched ones.

    Args:
        function: takes one argument for each of ``roles``.
        roles: arguments that are ``SHARED`` have no member axis.
        member_loop: "vmap" computes all members at once, "map" one after the other.
    """
    is_shared = [role is ShardingRole.SHARED for role in roles]
    if member_loop == "vmap":
        return jax.vmap(function, in_axes=[None if shared else 0 for shared in is_shared])

    def one_after_another(*arguments: PyTree) -> PyTree:
        def call(by_member: list[PyTree]) -> PyTree:
            return function(
                *[
                    a if shared else member_a
                    for shared, a, member_a in zip(is_shared, arguments, by_member, strict=True)
                ]
            )

        return jax.lax.map(call, [None if shared else a for shared, a in zip(is_shared, arguments, strict=True)])

    return one_after_another
