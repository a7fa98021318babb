"""Devices: what there is, what a group of runs takes of it, and programs compiled for that."""

import contextlib
import gc
import math
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from rnnjax.config.execution import Execution
from rnnjax.errors import UserError
from rnnjax.runtime.malloc import configure_malloc
from rnnjax.sharding.layout import Layout, MeshLayout, PmapLayout
from rnnjax.sharding.program_spec import ProgramSpec, Together

FEWEST_ROWS = 16  # of a batch, that a core is given for itself
SCHEDULER = "--xla_cpu_enable_concurrency_optimized_scheduler"


def configure_devices(execution: Execution) -> None:
    """Settle platform, number of CPU devices and what becomes of freed memory, before the first use of JAX.

    A CPU's cores are devices that all work at once, so no program need be ordered for threads of its own.
    """
    given = os.environ.get("XLA_FLAGS", "")
    if SCHEDULER not in given:
        os.environ["XLA_FLAGS"] = f"{given} {SCHEDULER}=false".strip()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if execution.platform is not None:
        jax.config.update("jax_platforms", execution.platform + ",cpu" * (execution.platform != "cpu"))
    with contextlib.suppress(RuntimeError):  # JAX is in use: what it has is counted when it is checked
        jax.config.update("jax_num_cpu_devices", execution.cpu_devices or cores)
    if sys.platform == "linux":
        configure_malloc()


def check_devices(execution: Execution) -> None:
    """See whether there is what the flags want.

    Raises:
        UserError: there is no such platform, or JAX is in use already with another number of CPU devices.
    """
    try:
        count = jax.local_device_count()
    except RuntimeError as error:
        raise UserError(
            f"There is no {execution.platform or 'device'} for JAX here ({str(error).splitlines()[0]}); "
            "install JAX for it, or take another --platform."
        ) from None
    if jax.default_backend() == "cpu" and execution.cpu_devices not in (None, count):
        raise UserError(f"--cpu-devices {execution.cpu_devices} comes too late: JAX runs on {count} already.")


def choose_layout(execution: Execution, members: int, batch_size: int) -> Layout:
    """Where a group of ``members`` runs lies: members first, as far as they divide evenly, then the batch.

    Left to itself on a CPU, it uses no more of the cores than get an equal share of at least ``FEWEST_ROWS`` of the
    ``batch_size`` examples.

    Raises:
        UserError: there are fewer devices than asked for, or they do not divide over ``model_devices``.
    """
    devices = jax.devices()
    together: Together = "map" if devices[0].platform == "cpu" else "vmap"
    if execution.devices is not None and jax.process_count() > 1 and execution.devices != len(devices):
        raise UserError(f"--devices {execution.devices}: several processes use all their {len(devices)} devices.")
    if execution.devices is not None and execution.devices > len(devices):
        hint = "; --cpu-devices makes more" if devices[0].platform == "cpu" else ""
        raise UserError(f"--devices {execution.devices}: there are only {len(devices)}{hint}.")
    if execution.parallel == "pmap":
        return PmapLayout(members, tuple(devices[: execution.devices]), together)

    by_itself = devices[0].platform == "cpu" and execution.devices is execution.cpu_devices is None
    if by_itself and execution.parallel == "jit" and jax.process_count() == 1:
        rounds = math.ceil(members / len(devices))
        member = math.ceil(members / rounds)
        most = max(1, min(len(devices) // member, batch_size // FEWEST_ROWS))
        data = max(n for n in range(1, most + 1) if batch_size % n == 0)
    else:
        count, rest = divmod(execution.devices or len(devices), execution.model_devices)
        if rest or (jax.process_count() > 1 and jax.local_device_count() % execution.model_devices):
            raise UserError(
                f"--model-devices {execution.model_devices} does not divide the {execution.devices or len(devices)} "
                "devices (those of each process, where there are several) evenly; give a number that does."
            )
        member = math.gcd(members, count) if jax.process_count() == 1 else 1
        data = count // member
    shape = member, data, execution.model_devices
    mesh = Mesh(
        np.array(devices[: math.prod(shape)]).reshape(shape), ("member", "data", "model"),
        axis_types=(AxisType.Auto,) * 3,
    )  # fmt: skip
    return MeshLayout(members, mesh, together)


def compile_in_parallel(
    layout: Layout, tasks: Mapping[Any, ProgramSpec], alone: Mapping[Any, tuple[Callable[..., Any], tuple[Any, ...]]]
) -> dict[Any, Any]:
    """Programs by name, ahead of their first call: those of ``layout``, and (function, arguments) for one device.

    One is traced, which keeps Python busy, while those before it are compiled, which does not. What tracing
    makes stays, for the most part, so Python looks for no garbage meanwhile.
    """
    pool, collects = ThreadPoolExecutor(), gc.isenabled()
    gc.disable()
    try:
        waiting = {name: pool.submit(jax.jit(run).lower(*given).compile) for name, (run, given) in alone.items()}
        waiting |= {name: pool.submit(layout.lower(task)) for name, task in tasks.items()}
        return {name: future.result() for name, future in waiting.items()}
    finally:  # after Ctrl-C, what has not begun to compile need not
        pool.shutdown(wait=False, cancel_futures=True)
        if collects:
            gc.enable()


def is_first_process() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def describe_devices() -> list[str]:
    """One line a device, the one that programs run on first."""
    return [f"{device.platform}:{device.id} {device.device_kind}" for device in jax.local_devices()]
