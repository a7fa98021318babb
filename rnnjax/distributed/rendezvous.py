"""How several processes find each other: where the first is, and a connection of every other one to it.

They meet before JAX brings them together, on the same port: a JAX that cannot connect aborts without a sentence.
"""

import contextlib
import os
import platform
import re
import socket
import time
import urllib.request
from typing import NamedTuple

from jax._src.clusters import ClusterEnv

from rnnjax.config.execution import Execution
from rnnjax.distributed.watchdog import Link
from rnnjax.errors import UserError

PATIENCE = 60  # seconds until all have to be there
TPU_HOSTS = "http://metadata.google.internal/computeMetadata/v1/instance/attributes/worker-network-endpoints"


class ProcessInfo(NamedTuple):
    """Of one process among several."""

    address: str  # host:port of the first
    total: int  # processes
    number: int  # of this one, from 0
    gpus: list[int] | None = None  # its own; None for all


def find_process_info(execution: Execution) -> ProcessInfo | None:
    """Whether this is one of several processes, and which, by the flags or by what has started it.

    Raises:
        UserError: it is, but there is no telling which.
    """
    if execution.coordinator is not None:
        count, number = execution.num_processes or 1, execution.process_id or 0
        return None if count == 1 else ProcessInfo(execution.coordinator, count, number)
    starter = _starter(execution.platform)
    if starter is None:
        return None
    try:
        found = ClusterEnv.auto_detect_unset_distributed_params(None, None, None, None, None, PATIENCE)
        address, total, this, gpus = found
        if address is None or total is None or this is None:
            raise RuntimeError("there is no sign of the first")
    except (ImportError, LookupError, OSError, RuntimeError, ValueError) as error:
        told = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise UserError(
            f"{starter} seems to have started several processes, but JAX cannot tell which ({told}); give each of them "
            "--coordinator, --num-processes and --process-id."
        ) from None
    return ProcessInfo(address, total, this, None if gpus is None or _all_gpus() else list(gpus))


def _starter(platform: str | None) -> str | None:
    """What has started several processes, of which this is one; it asks nobody but the host of a TPU."""
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1 and "SLURM_PROCID" in os.environ:  # those of a step: by srun
        return "SLURM"
    if int(os.environ.get("OMPI_COMM_WORLD_SIZE", 1)) > 1:
        return "Open MPI"
    if platform in (None, "tpu") and (_tpu_hosts() > 1 or int(os.environ.get("MEGASCALE_NUM_SLICES", 1)) > 1):
        return "A TPU pod"
    return None


def _tpu_hosts() -> int:
    """Machines of the TPU slice that this one belongs to."""
    hosts = os.environ.get("TPU_PROCESS_ADDRESSES") or os.environ.get("TPU_WORKER_HOSTNAMES")
    if hosts is None and "TPU_SKIP_MDS_QUERY" not in os.environ:  # JAX sets it where there is no TPU
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(TPU_HOSTS, headers={"Metadata-Flavor": "Google"})
        with contextlib.suppress(OSError), direct.open(request, timeout=3) as answer:
            hosts = answer.read().decode()
    return len((hosts or "").split(","))


def _all_gpus() -> bool:
    """Whether all GPUs that this process sees are its own; JAX takes one a process, the n-th for the n-th of a host."""
    tasks = re.sub(r"\(x\d+\)", "", os.environ.get("SLURM_STEP_TASKS_PER_NODE", "")).split(",")
    alone = set(tasks) == {"1"} or os.environ.get("OMPI_COMM_WORLD_LOCAL_SIZE") == "1"
    return alone or "," not in os.environ.get("CUDA_VISIBLE_DEVICES", ",")


def meet(place: ProcessInfo) -> dict[int, Link]:
    """Wait for the other processes: the links to them in the first, to the first in the others.

    Raises:
        UserError: not all have come within a minute, they do not agree how many they are, or the port is in use.
    """
    host, _, port = place.address.rpartition(":")
    if not host or not port.isdecimal() or int(port) >= 1 << 16:
        raise UserError(f"--coordinator must be address:port, as in 10.0.0.1:8476, but {place.address} was given.")
    if place.number == 0:
        return _expect(int(port), place.total)
    return {0: _join(host.strip("[]"), int(port), place.total, place.number)}


def _expect(port: int, count: int) -> dict[int, Link]:
    """The links to all others, which come in any order, and perhaps again when they were started again."""
    links: dict[int, Link] = {}
    until, wrong = time.monotonic() + PATIENCE, None
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        listener = socket.create_server(("", port), family=family, backlog=count, dualstack_ipv6=both)
    except OSError as error:
        raise UserError(
            f"The first process cannot listen on port {port} of --coordinator ({error.strerror}); give another port, "
            "and --process-id 0 to one process only."
        ) from None
    with listener:
        listener.settimeout(0.2)
        while wrong is None and (missing := sorted(set(range(1, count)) - _present(links))):
            if time.monotonic() > until:
                told = ", ".join(map(str, missing))
                wrong = f"number {told} of 0 to {count - 1} did not come within {PATIENCE} seconds"
            with contextlib.suppress(TimeoutError):
                link = Link(listener.accept()[0])
                match link.receive(timeout=5.0):
                    case {"process": int(number), "of": int(of), "host": str(host)}:
                        if of != count:
                            wrong = f"number {number} was given --num-processes {of} and the first {count}"
                        elif number in _present(links):
                            wrong = f"two of them were given --process-id {number}"
                        link.host = host
                        links[-1 if wrong else number] = link
                    case _:  # something that looks which ports are open
                        link.close()
    for link in links.values():
        link.send({"host": platform.node(), "wrong": wrong})
    if wrong is not None:
        for link in links.values():
            link.close()
        raise UserError(_cannot_begin(wrong))
    return links


def _present(links: dict[int, Link]) -> set[int]:
    """The numbers of those that are still there; the others are taken out, and may come again."""
    for number in [i for i, link in links.items() if not link.alive()]:
        links.pop(number).close()
    return set(links)


def _join(host: str, port: int, count: int, number: int) -> Link:
    """The link to the first, once all are there."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            link = Link(socket.create_connection((host, port), timeout=max(1.0, until - time.monotonic())))
            break
        except OSError as error:
            if time.monotonic() > until:
                raise UserError(
                    f"No first process has answered at {host}:{port} within {PATIENCE} seconds "
                    f"({error.strerror or error}); start all of them within that time, and give all of them the "
                    "--coordinator of the first."
                ) from None
            time.sleep(0.2)
    link.send({"process": number, "of": count, "host": platform.node()})
    match link.receive(timeout=PATIENCE + 10):
        case {"host": str(first), "wrong": None}:
            link.host = first
            return link
        case {"wrong": str(wrong)}:
            pass
        case _:
            wrong = f"who answers at {host}:{port} is not the first of them, or has ended"
    link.close()
    raise UserError(_cannot_begin(wrong))


def _cannot_begin(wrong: str) -> str:
    return f"The processes cannot begin together, for {wrong}; start all of them again."
