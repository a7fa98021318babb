"""Kinds of TPUs and GPUs that programs can be compiled for on a machine that has none of them.

Sizes and speeds are those of the manufacturers' data sheets; XLA chooses kernels by those of a GPU.
"""

import dataclasses
from typing import Literal

import jax
from jax.experimental import topologies

from rnnjax.errors import UserError

GIB = 2**30
NO_TPU_HERE = {  # environment variables without which libtpu looks for TPUs on the network, and complains
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # several processes may compile at once
}


@dataclasses.dataclass(frozen=True)
class GpuDescription:
    """What XLA asks about an NVIDIA GPU, in the letters of its ``GpuTargetConfigProto``."""

    name: str
    compute_capability: tuple[int, int]
    core_count: int  # streaming multiprocessors
    fpus_per_core: int
    clock_rate_ghz: float
    memory_bandwidth: int  # bytes a second
    l2_cache_size: int  # bytes
    shared_memory_per_core: int  # bytes
    shared_memory_per_block_optin: int  # bytes
    threads_per_core_limit: int

    def proto_text(self, memory_bytes: int) -> str:
        """A ``GpuTargetConfigProto`` in text form, for a device with so much memory."""
        major, minor = self.compute_capability
        return (
            "gpu_device_info { threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152 "
            f"shared_memory_per_core: {self.shared_memory_per_core} "
            f"threads_per_core_limit: {self.threads_per_core_limit} "
            f"core_count: {self.core_count} fpus_per_core: {self.fpus_per_core} "
            "block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535 "
            f"memory_bandwidth: {self.memory_bandwidth} l2_cache_size: {self.l2_cache_size} "
            f"clock_rate_ghz: {self.clock_rate_ghz} device_memory_size: {memory_bytes} "
            f"shared_memory_per_block_optin: {self.shared_memory_per_block_optin} "
            f"cuda_compute_capability {{ major: {major} minor: {minor} }} "
            "registers_per_core_limit: 65536 registers_per_block_limit: 65536 }\n"
            'platform_name: "CUDA"\n'
            "dnn_version_info { major: 9 minor: 10 patch: 0 }\n"
            f'device_description_str: "{self.name}"\n'
        )


@dataclasses.dataclass(frozen=True)
class Target:
    """Devices of one kind that belong together.

    Attributes:
        title: what people call them.
        platform: as ``lowering_platforms`` names it.
        memory_bytes: of one device.
        topology: name of an arrangement of TPU chips that libtpu knows; empty for a GPU.
        chips: the arrangement of chips of one host, in three dimensions; empty for a GPU.
        count: devices that are used, the first ones of the arrangement.
        gpu: description of a GPU; None for a TPU.
    """

    title: str
    platform: Literal["tpu", "cuda"]
    memory_bytes: int
    topology: str = ""
    chips: tuple[int, ...] = ()
    count: int = 1
    gpu: GpuDescription | None = None

    def devices(self) -> tuple[jax.Device, ...]:
        """The devices; programs can be compiled for them, but not run.

        Raises:
            UserError: the compiler for them is not installed.
        """
        try:
            if self.gpu is None:
                topology = topologies.get_topology_desc(
                    platform="tpu", topology_name=self.topology, chips_per_host_bounds=self.chips
                )
            else:
                topology = topologies.get_topology_desc(
                    platform="cuda", topology_name=self.gpu.name, topology="1x1x1",
                    target_config=self.gpu.proto_text(self.memory_bytes),
                )  # fmt: skip
        except RuntimeError as error:
            if not isinstance(error, NotImplementedError) and "not installed" not in str(error):
                raise
            extra = "tpu" if self.platform == "tpu" else "cuda12"
            raise UserError(
                f"The compiler for {self.title} is not installed; install it with "
                f'pip install "jax[{extra}]=={jax.__version__}".'
            ) from error
        return tuple(topology.devices[: self.count])


T4 = GpuDescription(
    "Tesla T4", (7, 5), core_count=40, fpus_per_core=64, clock_rate_ghz=1.59, memory_bandwidth=320_000_000_000,
    l2_cache_size=4 * 2**20, shared_memory_per_core=65_536, shared_memory_per_block_optin=65_536,
    threads_per_core_limit=1024,
)  # fmt: skip
A100 = GpuDescription(
    "NVIDIA A100-SXM4-40GB", (8, 0), core_count=108, fpus_per_core=64, clock_rate_ghz=1.41,
    memory_bandwidth=1_555_000_000_000, l2_cache_size=40 * 2**20, shared_memory_per_core=167_936,
    shared_memory_per_block_optin=166_912, threads_per_core_limit=2048,
)  # fmt: skip
H200 = GpuDescription(
    "NVIDIA H200", (9, 0), core_count=132, fpus_per_core=128, clock_rate_ghz=1.98, memory_bandwidth=4_800_000_000_000,
    l2_cache_size=60 * 2**20, shared_memory_per_core=233_472, shared_memory_per_block_optin=232_448,
    threads_per_core_limit=2048,
)  # fmt: skip

TPUS = {
    "v5e": Target("one TPU v5e", "tpu", 16 * GIB, "v5e:2x2", (2, 2, 1)),
    "v5e-8": Target("eight TPU v5e", "tpu", 16 * GIB, "v5e:2x4", (2, 4, 1), count=8),
    "v6e": Target("one TPU v6e", "tpu", 32 * GIB, "v6e:2x2", (2, 2, 1)),
}
GPUS = {
    "T4": Target("one NVIDIA T4", "cuda", 15 * GIB, gpu=T4),
    "A100": Target("one NVIDIA A100", "cuda", 40 * GIB, gpu=A100),
    "H200": Target("one NVIDIA H200", "cuda", 141_000_000_000, gpu=H200),
}
TARGETS = {**TPUS, **GPUS}
