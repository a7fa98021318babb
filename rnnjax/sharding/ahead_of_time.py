"""Compiling for devices that this machine does not have: what a program consists of and needs, without running it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.sharding import SingleDeviceSharding
from jax.stages import Compiled

from rnnjax.sharding.layout import Leaf
from rnnjax.typing import PyTree


def compile_for_device(function: Callable[..., PyTree], arguments: tuple[PyTree, ...], device: jax.Device) -> Compiled:
    """``function`` compiled for one device, which need not be there.

    Args:
        function: of arrays.
        arguments: arrays, or their shapes and dtypes.
        device: of a ``Target``, or any other.
    """
    sharding = SingleDeviceSharding(device)

    def shape(a: Leaf) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding)

    traced = jax.jit(function).trace(*jax.tree.map(shape, arguments))
    platform = "cuda" if device.platform == "gpu" else device.platform
    return traced.lower(lowering_platforms=(platform,)).compile()


class MemoryUse(NamedTuple):
    """Bytes that a compiled program needs on each device."""

    arguments: int
    results: int
    temporary: int
    reused: int  # of the arguments, whose memory the results take

    @property
    def total(self) -> int:
        """While the program runs."""
        return self.arguments + self.results - self.reused + self.temporary


def memory_use(program: Compiled) -> MemoryUse:
    """The memory that a program needs, as its compiler states it."""
    stated: Any = program.memory_analysis()
    return MemoryUse(
        stated.argument_size_in_bytes,
        stated.output_size_in_bytes,
        stated.temp_size_in_bytes,
        stated.alias_size_in_bytes,
    )
