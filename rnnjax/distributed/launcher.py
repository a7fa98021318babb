"""Whether this is one of several processes: by the flags, or by what has started it."""

import contextlib
import os
import re
import urllib.request

from rnnjax.config.execution import Execution

TPU_HOSTS = "http://metadata.google.internal/computeMetadata/v1/instance/attributes/worker-network-endpoints"

MOST_ANSWER = 1 << 16  # bytes of the metadata server's answer


def find_launcher(execution: Execution) -> str | None:
    """What has started several processes, of which this is one; None where this process is alone.

    Only SLURM, Open MPI and TPU pods are recognised. Nothing is queried but the metadata server of a TPU machine.
    """
    if execution.coordinator is not None:
        return "--coordinator" if (execution.num_processes or 1) > 1 else None
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1 and "SLURM_PROCID" in os.environ:  # a step started by srun
        return "SLURM"
    if int(os.environ.get("OMPI_COMM_WORLD_SIZE", 1)) > 1:
        return "Open MPI"
    if execution.platform in (None, "tpu") and (_tpu_hosts() > 1 or int(os.environ.get("MEGASCALE_NUM_SLICES", 1)) > 1):
        return "A TPU pod"
    return None


def owns_all_visible_gpus() -> bool:
    """Whether a process of SLURM or Open MPI may use every GPU that it sees.

    That is so where it is the only process of its machine, or where the launcher shows it only its own GPU. Otherwise
    JAX gives the n-th process of a machine the n-th GPU.
    """
    tasks_per_node = re.sub(r"\(x\d+\)", "", os.environ.get("SLURM_STEP_TASKS_PER_NODE", "")).split(",")
    alone = set(tasks_per_node) == {"1"} or os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") == "1"
    return alone or "," not in os.environ.get("CUDA_VISIBLE_DEVICES", ",")


def _tpu_hosts() -> int:
    """Number of machines in the TPU slice that this machine belongs to; 1 without a TPU."""
    hosts = os.environ.get("TPU_PROCESS_ADDRESSES") or os.environ.get("TPU_WORKER_HOSTNAMES")
    if hosts is None and "TPU_SKIP_MDS_QUERY" not in os.environ:  # JAX sets it where there is no TPU
        without_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(TPU_HOSTS, headers={"Metadata-Flavor": "Google"})
        with contextlib.suppress(OSError), without_proxy.open(request, timeout=3) as response:
            hosts = response.read(MOST_ANSWER).decode(errors="replace")
    return len((hosts or "").split(","))
