"""rnnjax as in training: a batch divided over devices, on a CPU one for each core, with freed memory kept."""

from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from benchmarks.cases import Case
from benchmarks.peers import Layer
from benchmarks.peers.jax_layer import jax_layer
from benchmarks.peers.ours import build_module
from rnnjax.config.execution import Execution
from rnnjax.runtime.malloc import configure_malloc
from rnnjax.sharding.devices import configure_devices

configure_devices(Execution())
configure_malloc()


def build(case: Case) -> Layer:
    """``rnnjax.RNN``, on the largest number of devices that divides the batch."""
    count = max(n for n in range(1, jax.local_device_count() + 1) if case.batch % n == 0)
    mesh = Mesh(np.array(jax.local_devices()[:count]), ("data",), axis_types=(AxisType.Auto,))
    module, variables = build_module(case)
    whole, divided = PartitionSpec(), PartitionSpec("data")

    @partial(jax.shard_map, mesh=mesh, in_specs=(whole, divided), out_specs=divided)
    def last_output(variables: Any, xs: jax.Array) -> jax.Array:
        final, _ = module.apply(variables, xs)
        return final.h

    return jax_layer(case, last_output, variables, (NamedSharding(mesh, whole), NamedSharding(mesh, divided)))
