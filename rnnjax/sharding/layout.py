"""How an ensemble is divided over devices, and how a pure function becomes a program for them.

A function is written for one member (one run) and one shard of a batch. Here it is repeated over the members of an
ensemble and over devices. ``MeshLayout`` arranges them in a mesh of three axes: ``member`` and ``data`` (the examples
of a batch), which are divided explicitly, and ``model`` (large parameters), which is left to the compiler.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeAlias

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.tree_util import KeyPath

from rnnjax.sharding.program_spec import BatchShard, Division, MemberLoop, ProgramSpec, Roles, ShardingRole, map_members
from rnnjax.typing import ModelParams, PyTree

MIN_SHARDED_SIZE = 2**19  # numbers in a matrix that is divided over the devices of the data axis
FEWEST_COLUMNS = 16  # of word vectors on each device, 64 bytes
WORD_VECTORS = ("Embed_0", "embedding")  # the end of the path of the parameter whose columns are divided

Program: TypeAlias = Callable[..., PyTree]
Leaf: TypeAlias = jax.Array | np.ndarray | jax.ShapeDtypeStruct


class Layout(Protocol):
    """How the members of an ensemble and their batches are divided over devices."""

    @property
    def members(self) -> int:
        """M."""

    @property
    def member_loop(self) -> MemberLoop:
        """Whether a device computes all its members at once, or one after the other, as on a CPU."""

    def batch_shard(self, params: ModelParams) -> BatchShard:
        """The shard that the compiled functions compute on; ``params`` are those of one member."""

    def batch_size(self, size: int) -> int:
        """``size``, or the next larger number that divides evenly over the devices."""

    def put(self, role: Roles, tree: PyTree) -> PyTree:
        """Transfer arrays of M members, or shared ones, to the devices."""

    def fetch(self, tree: PyTree) -> PyTree:
        """The results of programs as numpy arrays of M members."""

    def lower(self, spec: ProgramSpec) -> Callable[[], Program]:
        """Trace a function; the result compiles it to a program of arguments as ``put`` returns them."""


@dataclasses.dataclass(frozen=True)
class MeshLayout:
    """``jit`` over a mesh (member, data, model).

    Without a model axis, each device of the data axis holds a part of the rows of a large matrix and of its moments, or
    on CPUs of the columns of word vectors.
    """

    members: int
    mesh: Mesh
    member_loop: MemberLoop

    @property
    def _padded_members(self) -> int:
        """Members, with the copies of the last one that fill the member axis."""
        return math.ceil(self.members / self.mesh.shape["member"]) * self.mesh.shape["member"]

    def batch_shard(self, params: ModelParams) -> BatchShard:  # noqa: D102
        division = jax.tree.map_with_path(lambda path, a: self._division(path, a.shape), params)
        return BatchShard("data", division, blockwise=self.mesh.shape["model"] == 1)

    def batch_size(self, size: int) -> int:  # noqa: D102
        return math.ceil(size / self.mesh.shape["data"]) * self.mesh.shape["data"]

    def put(self, role: Roles, tree: PyTree) -> PyTree:  # noqa: D102
        def put_array(role: ShardingRole, path: KeyPath[Any], a: Leaf) -> jax.Array:
            a = np.asarray(a)
            if role is not ShardingRole.SHARED:
                a = np.concatenate([a, np.repeat(a[-1:], self._padded_members - len(a), axis=0)])
            return jax.make_array_from_callback(a.shape, self._sharding(role, path, a), lambda index: a[index])

        return _map_with_role(put_array, role, tree)

    def fetch(self, tree: PyTree) -> PyTree:  # noqa: D102
        return jax.tree.map(lambda a: _to_numpy(a)[: self.members], tree)

    def lower(self, spec: ProgramSpec) -> Callable[[], Program]:  # noqa: D102
        arguments = tuple(map(partial(_member_shapes, self._padded_members), spec.roles, spec.arguments))
        specs = tuple(map(partial(_map_with_role, self._spec), spec.roles, arguments))
        function = jax.shard_map(
            map_members(spec.function, spec.roles, self.member_loop),
            mesh=self.mesh, in_specs=specs, axis_names={"member", "data"}, check_vma=False,
            out_specs=tuple(P("member") if like is None else specs[like] for like in spec.results_like),
        )  # fmt: skip
        in_shardings = tuple(map(partial(_map_with_role, self._sharding), spec.roles, arguments))
        by_member = NamedSharding(self.mesh, P("member"))
        out_shardings = tuple(by_member if like is None else in_shardings[like] for like in spec.results_like)
        jitted = jax.jit(
            function, in_shardings=in_shardings, out_shardings=out_shardings, donate_argnums=spec.donate_argnums
        )
        return jitted.lower(*arguments).compile

    def _division(self, path: KeyPath[Any], shape: tuple[int, ...]) -> Division:
        """How a member's parameter is divided over the data axis; never over several processes.

        Columns on CPUs alone: a TPU would fill up their few numbers to 128, and on GPUs it was not measured.
        """
        data, model = self.mesh.shape["data"], self.mesh.shape["model"]
        if data == 1 or model > 1 or len(shape) != 2 or jax.process_count() > 1 or math.prod(shape) < MIN_SHARDED_SIZE:
            return Division.WHOLE
        of_words = tuple(getattr(key, "key", None) for key in path[-2:]) == WORD_VECTORS
        on_cpus, columns = self.mesh.devices.flat[0].platform == "cpu", shape[1] // data
        if on_cpus and of_words and shape[1] % data == 0 and columns >= FEWEST_COLUMNS:
            return Division.COLUMNS
        return Division.ROWS if shape[0] % data == 0 else Division.WHOLE

    def _spec(self, role: ShardingRole, path: KeyPath[Any], a: Leaf) -> P:
        """Over the member and the data axis, as ``shard_map`` divides."""
        if role is ShardingRole.SHARED:
            return P()
        if role is ShardingRole.BATCH:
            return P("member", *[None] * (a.ndim - 2), "data")
        division = self._division(path, a.shape[1:]) if role is ShardingRole.PARAMS else Division.WHOLE
        return {
            Division.WHOLE: P("member"),
            Division.ROWS: P("member", "data"),
            Division.COLUMNS: P("member", None, "data"),
        }[division]

    def _sharding(self, role: ShardingRole, path: KeyPath[Any], a: Leaf) -> NamedSharding:
        """Over all axes: a matrix of parameters has its longest side that divides evenly on the model axis."""
        model = self.mesh.shape["model"]
        if role is ShardingRole.PARAMS and a.ndim == 3 and model > 1:
            axis = max((i for i in (1, 2) if a.shape[i] % model == 0), key=lambda i: a.shape[i], default=0)
            if axis:
                return NamedSharding(self.mesh, P("member", *[None] * (axis - 1), "model"))
        return NamedSharding(self.mesh, self._spec(role, path, a))


@dataclasses.dataclass(frozen=True)
class PmapLayout:
    """``pmap`` over devices that each hold all members and a shard of the batch."""

    members: int
    devices: tuple[jax.Device, ...]
    member_loop: MemberLoop

    def batch_shard(self, params: ModelParams) -> BatchShard:  # noqa: D102
        return BatchShard("data")

    def batch_size(self, size: int) -> int:  # noqa: D102
        return math.ceil(size / len(self.devices)) * len(self.devices)

    def put(self, role: Roles, tree: PyTree) -> PyTree:  # noqa: D102
        local = [i for i, device in enumerate(self.devices) if device.process_index == jax.process_index()]

        def put_array(role: ShardingRole, _: KeyPath[Any], a: Leaf) -> jax.Array | np.ndarray:
            a = np.asarray(a)
            if role is ShardingRole.BATCH:
                return np.moveaxis(a.reshape(*a.shape[:-1], len(self.devices), -1), -2, 0)[local]
            mesh = Mesh(np.array(self.devices)[local], "data")  # copied to each device once, not at every call
            copies = np.broadcast_to(a, (len(local), *a.shape))
            return jax.make_array_from_callback(copies.shape, NamedSharding(mesh, P("data")), lambda i: copies[i])

        return _map_with_role(put_array, role, tree)

    def fetch(self, tree: PyTree) -> PyTree:  # noqa: D102
        return jax.tree.map(lambda a: np.asarray(a.addressable_shards[0].data).reshape(a.shape[1:]), tree)

    def lower(self, spec: ProgramSpec) -> Callable[[], Program]:  # noqa: D102
        axes = tuple(None if isinstance(a, np.generic) else 0 for a in spec.arguments)
        function = map_members(spec.function, spec.roles, self.member_loop)
        program = jax.pmap(function, "data", in_axes=axes, devices=self.devices, donate_argnums=spec.donate_argnums)
        if jax.process_count() > 1:  # with several processes JAX compiles only at the first call
            return lambda: program
        shapes = tuple(map(partial(_member_shapes, self.members), spec.roles, spec.arguments))
        local = [device.process_index for device in self.devices].count(jax.process_index())

        def device_shapes(role: Roles, axis: int | None, tree: PyTree) -> PyTree:
            def device_shape(role: ShardingRole, _: KeyPath[Any], a: Leaf) -> jax.ShapeDtypeStruct:
                is_batch = role is ShardingRole.BATCH
                shape = (*a.shape[:-1], a.shape[-1] // len(self.devices)) if is_batch else a.shape
                return jax.ShapeDtypeStruct(shape if axis is None else (local, *shape), a.dtype)

            return _map_with_role(device_shape, role, tree)

        return program.lower(*map(device_shapes, spec.roles, axes, shapes)).compile


def _map_with_role(
    function: Callable[[ShardingRole, KeyPath[Any], Leaf], PyTree], roles: Roles, tree: PyTree
) -> PyTree:
    """``function(role, path, array)`` for every array of ``tree``, its path that below the role."""
    return jax.tree.map(lambda role, subtree: jax.tree.map_with_path(partial(function, role), subtree), roles, tree)


def _member_shapes(members: int, roles: Roles, tree: PyTree) -> PyTree:
    """Shapes and dtypes of ``tree``, that of one member, with a leading member axis."""

    def shape(role: ShardingRole, _: KeyPath[Any], a: Leaf) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(a.shape if role is ShardingRole.SHARED else (members, *a.shape), a.dtype)

    return _map_with_role(shape, roles, tree)


def _to_numpy(a: jax.Array) -> np.ndarray:
    """The whole array, from the shards of this process."""
    if a.is_fully_addressable or a.is_fully_replicated:
        return np.asarray(a)
    whole = np.empty(a.shape, a.dtype)
    for shard in a.addressable_shards:
        whole[shard.index] = shard.data
    return whole
