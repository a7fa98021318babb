"""Who holds what, and how a pure function becomes a program; with ``parallel`` all that knows devices.

A program is written for one member (one run) and the share of a batch that one device holds. Here it is repeated over
the members of a group and over devices, which lie in a mesh of three axes: ``member`` and ``data`` (the examples of a
batch), divided by hand, and ``model`` (large parameters), left to the compiler.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rnnjax.sharding.program_spec import BatchShard, ProgramSpec, ShardingRole, Together, over_members

LEAST_IN_PARTS = 2**19  # numbers in a matrix that devices keep a share of each


class Layout(Protocol):
    """Where the members of a group and the shares of their batches lie."""

    @property
    def members(self) -> int:
        """M."""

    def shares(self, params: Any) -> BatchShard:
        """Of batches and of a member's ``params``, as the functions that it compiles must know them."""

    def batch_size(self, size: int) -> int:
        """``size``, or the next larger number that divides evenly over the devices."""

    def put(self, role: Any, tree: Any) -> Any:
        """Arrays of M members, or shared ones, on the devices; ``role`` as in ``Task``."""

    def fetch(self, tree: Any) -> Any:
        """What programs return, as numpy arrays of M members."""

    def lower(self, task: ProgramSpec) -> Callable[[], Callable[..., Any]]:
        """Trace a task; what is returned compiles it to a program, which takes what ``put`` returns, and numbers."""


@dataclasses.dataclass(frozen=True)
class MeshLayout:
    """``jit`` over a mesh (member, data, model).

    Without a model axis, each device of the data axis keeps a share of the rows of a large matrix and of its moments.
    """

    members: int
    mesh: Mesh
    together: Together

    @property
    def _places(self) -> int:
        """Members with those that only fill the devices."""
        return math.ceil(self.members / self.mesh.shape["member"]) * self.mesh.shape["member"]

    def shares(self, params: Any) -> BatchShard:  # noqa: D102
        parts = jax.tree.map(lambda a: self._in_parts(a.shape), params)
        return BatchShard("data", parts, in_blocks=self.mesh.shape["model"] == 1)

    def batch_size(self, size: int) -> int:  # noqa: D102
        return math.ceil(size / self.mesh.shape["data"]) * self.mesh.shape["data"]

    def put(self, role: Any, tree: Any) -> Any:  # noqa: D102
        def place(role: ShardingRole, a: Any) -> jax.Array:
            a = np.asarray(a)
            if role is not ShardingRole.SHARED:
                a = np.concatenate([a, np.repeat(a[-1:], self._places - len(a), axis=0)])
            return jax.make_array_from_callback(a.shape, self._sharding(role, a), lambda index: a[index])

        return _by_role(place, role, tree)

    def fetch(self, tree: Any) -> Any:  # noqa: D102
        return jax.tree.map(lambda a: _local_copy(a)[: self.members], tree)

    def lower(self, task: ProgramSpec) -> Callable[[], Callable[..., Any]]:  # noqa: D102
        arguments = tuple(map(partial(_stacked_shape, self._places), task.roles, task.arguments))
        specs = tuple(map(partial(_by_role, self._spec), task.roles, arguments))
        function = jax.shard_map(
            over_members(task.function, task.roles, self.together),
            mesh=self.mesh, in_specs=specs, axis_names={"member", "data"}, check_vma=False,
            out_specs=tuple(P("member") if like is None else specs[like] for like in task.returns),
        )  # fmt: skip
        placed = tuple(map(partial(_by_role, self._sharding), task.roles, arguments))
        by_member = NamedSharding(self.mesh, P("member"))
        returned = tuple(by_member if like is None else placed[like] for like in task.returns)
        jitted = jax.jit(function, in_shardings=placed, out_shardings=returned, donate_argnums=task.donated)
        return jitted.lower(*arguments).compile

    def _in_parts(self, shape: tuple[int, ...]) -> bool:
        """Whether the rows of a member's array are divided over the data axis, which must be this process's own."""
        data, model = self.mesh.shape["data"], self.mesh.shape["model"]
        if data == 1 or model > 1 or len(shape) != 2 or jax.process_count() > 1:
            return False
        return shape[0] % data == 0 and math.prod(shape) >= LEAST_IN_PARTS

    def _spec(self, role: ShardingRole, a: Any) -> P:
        """Over members and data, by hand."""
        if role is ShardingRole.SHARED:
            return P()
        if role is ShardingRole.BATCH:
            return P("member", *[None] * (a.ndim - 2), "data")
        return P("member", "data") if role is ShardingRole.PARAMS and self._in_parts(a.shape[1:]) else P("member")

    def _sharding(self, role: ShardingRole, a: Any) -> NamedSharding:
        """With the model axis, where large matrices are divided over it."""
        model = self.mesh.shape["model"]
        if (
            role is ShardingRole.PARAMS and a.ndim == 3 and model > 1
        ):  # of each member: its longest side that divides evenly
            side = max((i for i in (1, 2) if a.shape[i] % model == 0), key=lambda i: a.shape[i], default=0)
            if side:
                return NamedSharding(self.mesh, P("member", *[None] * (side - 1), "model"))
        return NamedSharding(self.mesh, self._spec(role, a))


@dataclasses.dataclass(frozen=True)
class PmapLayout:
    """``pmap`` over devices that each hold a share of the batch and all members."""

    members: int
    devices: tuple[jax.Device, ...]
    together: Together

    def shares(self, params: Any) -> BatchShard:  # noqa: D102
        return BatchShard("data")

    def batch_size(self, size: int) -> int:  # noqa: D102
        return math.ceil(size / len(self.devices)) * len(self.devices)

    def put(self, role: Any, tree: Any) -> Any:  # noqa: D102
        own = [i for i, device in enumerate(self.devices) if device.process_index == jax.process_index()]

        def place(role: ShardingRole, a: Any) -> Any:
            a = np.asarray(a)
            if role is ShardingRole.BATCH:
                return np.moveaxis(a.reshape(*a.shape[:-1], len(self.devices), -1), -2, 0)[own]
            mesh = Mesh(np.array(self.devices)[own], "data")  # copied to each once, not at every call
            copies = np.broadcast_to(a, (len(own), *a.shape))
            return jax.make_array_from_callback(copies.shape, NamedSharding(mesh, P("data")), lambda i: copies[i])

        return _by_role(place, role, tree)

    def fetch(self, tree: Any) -> Any:  # noqa: D102
        return jax.tree.map(lambda a: np.asarray(a.addressable_shards[0].data).reshape(a.shape[1:]), tree)

    def lower(self, task: ProgramSpec) -> Callable[[], Callable[..., Any]]:  # noqa: D102
        axes = tuple(None if isinstance(a, np.generic) else 0 for a in task.arguments)
        function = over_members(task.function, task.roles, self.together)
        program = jax.pmap(function, "data", in_axes=axes, devices=self.devices, donate_argnums=task.donated)
        if jax.process_count() > 1:  # of several processes JAX compiles it at the first call only
            return lambda: program
        stacked = tuple(map(partial(_stacked_shape, self.members), task.roles, task.arguments))
        local = [device.process_index for device in self.devices].count(jax.process_index())

        def copies(role: Any, axis: int | None, tree: Any) -> Any:
            def shape(role: ShardingRole, a: Any) -> jax.ShapeDtypeStruct:
                own = (*a.shape[:-1], a.shape[-1] // len(self.devices)) if role is ShardingRole.BATCH else a.shape
                return jax.ShapeDtypeStruct(own if axis is None else (local, *own), a.dtype)

            return _by_role(shape, role, tree)

        return program.lower(*map(copies, task.roles, axes, stacked)).compile


def _by_role(function: Callable[[ShardingRole, Any], Any], roles: Any, tree: Any) -> Any:
    """``function(role, array)`` of every array; ``roles`` is one or a tree that begins as ``tree`` does."""
    return jax.tree.map(lambda role, some: jax.tree.map(partial(function, role), some), roles, tree)


def _stacked_shape(members: int, roles: Any, tree: Any) -> Any:
    """Shapes and dtypes of ``tree`` for so many members."""

    def stacked(role: ShardingRole, a: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(a.shape if role is ShardingRole.SHARED else (members, *a.shape), a.dtype)

    return _by_role(stacked, roles, tree)


def _local_copy(a: jax.Array) -> np.ndarray:
    """The whole array out of what this process holds of it."""
    if a.is_fully_addressable or a.is_fully_replicated:
        return np.asarray(a)
    whole = np.empty(a.shape, a.dtype)
    for shard in a.addressable_shards:
        whole[shard.index] = shard.data
    return whole
