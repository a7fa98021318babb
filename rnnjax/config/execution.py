"""Flags for devices, processes and checkpoints; the results of a run do not depend on them, apart from rounding."""

import dataclasses
from typing import Literal

from rnnjax.config.training import require, require_sizes
from rnnjax.errors import UserError

OFF = "off"
TOGETHER = ("coordinator", "num_processes", "process_id")  # flags of which all are given or none
SAME_EVERYWHERE = ("num_processes", "parallel", "model_devices", "matmul_precision")  # on them programs depend


@dataclasses.dataclass(frozen=True)
class Execution:
    """Devices, processes and checkpoints of a job.

    Attributes:
        parallel: how programs use several devices: jit divides the runs that share a program over the devices, and
            each batch over the remaining ones; sharded divides large parameters as well, over --model-devices; pmap
            divides each batch with jax.pmap.
        devices: number of devices to use; all local ones if not given.
        model_devices: devices over which parameters are divided with --parallel sharded.
        platform: kind of device; the fastest available if not given.
        matmul_precision: how an accelerator multiplies float32 matrices: highest in float32; default, the fastest, in
            bfloat16 on a TPU and in TF32 on an NVIDIA GPU that has it; high in three bfloat16 products on a TPU, as
            default on a GPU. A CPU multiplies in float32.
        cpu_devices: virtual devices of the CPU; one for each core if not given, of which small batches use fewer.
        coordinator: address:port of the first of several processes; detected under SLURM, Open MPI and on TPU pods.
        num_processes: number of processes, with --coordinator.
        process_id: index of this process, from 0, with --coordinator.
        checkpoint_every: steps between two checkpoints; 0 sets no limit in steps.
        checkpoint_minutes: minutes between two checkpoints; 0 sets no limit in minutes. With neither limit, the only
            checkpoint is written when a run is stopped.
        keep_checkpoints: newest checkpoints to keep; the best parameters are kept beside them.
        compilation_cache: folder of compiled programs for later starts; the user's cache folder if not given, off for
            none.
        resume: continue the run in --out where it was stopped, or start it.
    """

    parallel: Literal["jit", "pmap", "sharded"] = "jit"
    devices: int | None = None
    model_devices: int = 1
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    matmul_precision: Literal["default", "high", "highest"] = "default"
    cpu_devices: int | None = None
    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None
    checkpoint_every: int = 0
    checkpoint_minutes: float = 2.0
    keep_checkpoints: int = 2
    compilation_cache: str | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        for name in ("devices", "cpu_devices", "num_processes"):
            value = getattr(self, name)
            require(self, name, value is None or value >= 1, "at least 1")
        for name in ("model_devices", "keep_checkpoints"):
            require(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("checkpoint_every", "checkpoint_minutes"):
            require(self, name, getattr(self, name) >= 0, "0 or more")
        require(
            self, "model_devices", self.model_devices == 1 or self.parallel == "sharded", "1 without --parallel sharded"
        )
        missing = [f"--{name.replace('_', '-')}" for name in TOGETHER if getattr(self, name) is None]
        if 0 < len(missing) < len(TOGETHER):
            raise UserError(
                "--coordinator, --num-processes and --process-id are given together, or none of them; add "
                f"{' and '.join(missing)}."
            )
        if self.process_id is not None and self.num_processes is not None:
            require(self, "process_id", 0 <= self.process_id < self.num_processes, "from 0 to below --num-processes")
        require_sizes(self)
