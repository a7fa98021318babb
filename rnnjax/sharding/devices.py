"""Configuring JAX's devices, and choosing how an ensemble is divided over them."""

import contextlib
import math
import os
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from rnnjax.config.execution import Execution
from rnnjax.errors import UserError
from rnnjax.sharding.layout import Layout, MeshLayout, PmapLayout
from rnnjax.sharding.program_spec import MemberLoop

MIN_EXAMPLES_PER_CORE = 16  # a batch is not divided further over the cores of a CPU
SCHEDULER = "--xla_cpu_enable_concurrency_optimized_scheduler"


def configure_devices(execution: Execution) -> None:
    """Set platform, number of CPU devices and precision of matrix products, before the first use of JAX.

    Every core of a CPU is a device, and all work at once, so XLA need not schedule a program for several threads.
    """
    given = os.environ.get("XLA_FLAGS", "")
    if SCHEDULER not in given:
        os.environ["XLA_FLAGS"] = f"{given} {SCHEDULER}=false".strip()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if execution.platform is not None:
        jax.config.update("jax_platforms", execution.platform + ",cpu" * (execution.platform != "cpu"))
    if execution.matmul_precision != "default":  # which is what JAX_DEFAULT_MATMUL_PRECISION says, where it is set
        jax.config.update("jax_default_matmul_precision", execution.matmul_precision)
    with contextlib.suppress(RuntimeError):  # JAX is in use already; ``check_devices`` counts its devices
        jax.config.update("jax_num_cpu_devices", execution.cpu_devices or cores)


def check_devices(execution: Execution) -> None:
    """Check that the platform and the CPU devices of the flags exist.

    Raises:
        UserError: the platform does not exist, or JAX is in use already with another number of CPU devices.
    """
    try:
        count = jax.local_device_count()
    except (
        RuntimeError,
        AssertionError,
        AttributeError,
    ) as error:  # of JAX_PLATFORMS it only asserts that there is one
        asked = execution.platform or os.environ.get("JAX_PLATFORMS") or "device"
        by_variable = execution.platform is None and asked != "device"
        reason = f" ({str(error).splitlines()[0]})" if isinstance(error, RuntimeError) and str(error) else ""
        raise UserError(
            f"There is no {asked} for JAX here{reason}; install JAX for it, or take another "
            f"{'JAX_PLATFORMS in the environment' if by_variable else '--platform'}."
        ) from None
    if jax.default_backend() == "cpu" and execution.cpu_devices not in (None, count):
        raise UserError(f"--cpu-devices {execution.cpu_devices} comes too late: JAX runs on {count} already.")


def choose_layout(
    execution: Execution, members: int, batch_size: int, devices: Sequence[jax.Device] | None = None
) -> Layout:
    """Divide an ensemble over the devices: its members first, as far as they divide evenly, then each batch.

    On a CPU, unless the flags give a number of devices, a batch is divided over as many cores as get an equal number
    of examples, at least ``MIN_EXAMPLES_PER_CORE``.

    Args:
        execution: the flags.
        members: number of runs in the ensemble.
        batch_size: examples in a batch.
        devices: those of a ``Target`` to compile for; all that JAX has here if not given.

    Raises:
        UserError: there are fewer devices than the flags give, or they do not divide over ``model_devices``.
    """
    devices = jax.devices() if devices is None else devices
    member_loop: MemberLoop = "map" if devices[0].platform == "cpu" else "vmap"
    if execution.devices is not None and jax.process_count() > 1 and execution.devices != len(devices):
        raise UserError(f"--devices {execution.devices}: several processes use all their {len(devices)} devices.")
    if execution.devices is not None and execution.devices > len(devices):
        hint = "; --cpu-devices makes more" if devices[0].platform == "cpu" else ""
        raise UserError(f"--devices {execution.devices}: there are only {len(devices)}{hint}.")
    if execution.parallel == "pmap":
        return PmapLayout(members, tuple(devices[: execution.devices]), member_loop)

    is_automatic = devices[0].platform == "cpu" and execution.devices is execution.cpu_devices is None
    if is_automatic and execution.parallel == "jit" and jax.process_count() == 1:
        rounds = math.ceil(members / len(devices))
        member = math.ceil(members / rounds)
        most = max(1, min(len(devices) // member, batch_size // MIN_EXAMPLES_PER_CORE))
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
    return MeshLayout(members, mesh, member_loop)


def is_first_process() -> bool:
    """Whether this process writes the run folder."""
    return jax.process_index() == 0


def describe_devices() -> list[str]:
    """One line for each local device."""
    return [f"{device.platform}:{device.id} {device.device_kind}" for device in jax.local_devices()]


def describe_matmul_precision() -> str:
    """How products of float32 matrices are computed here, as JAX names it."""
    return jax.config.jax_default_matmul_precision or "default"  # type: ignore[attr-defined]
