"""How a process detects, by flags or by its launcher, that it is one of several."""

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import jax
import pytest

from rnnjax.config.execution import Execution
from rnnjax.distributed import launcher
from rnnjax.distributed.collectives import (
    broadcast_checkpoint,
    broadcast_from_first,
    first_process_first,
    gather_values,
    require_same_flags,
)
from rnnjax.distributed.initialize import initialize_from_launcher
from rnnjax.distributed.launcher import find_launcher, owns_all_visible_gpus
from rnnjax.distributed.session import distributed_session
from rnnjax.distributed.stop_agreement import signal_handler
from rnnjax.errors import UserError
from rnnjax.runtime.signals import SignalHandler

SLURM = {
    "SLURM_JOB_ID": "12", "SLURM_STEP_NODELIST": "node[007-008]", "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_STEP_TASKS_PER_NODE": "2(x2)", "SLURM_STEP_NUM_NODES": "2",
}  # fmt: skip
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
ORTE = {"OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911"}


@pytest.fixture
def environment(monkeypatch):
    """A function that sets environment variables; those of launchers are removed first."""
    for name in list(os.environ):
        if name.startswith(("SLURM_", "OMPI_", "TPU_", "MEGASCALE_", "KUBERNETES_", "CUDA_VISIBLE", "JAX_COORDINATOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")

    def set_variables(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_variables


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"SLURM_JOB_ID": "12", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"},  # script, without srun
        SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_NTASKS": "1", "SLURM_ARRAY_TASK_ID": "2"},
        OPEN_MPI | ORTE | {"OMPI_COMM_WORLD_SIZE": "1"},
        {"TPU_WORKER_HOSTNAMES": "localhost", "TPU_WORKER_ID": "0"},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "1"},
    ],
)
def test_a_single_process_never_connects(variables, environment, monkeypatch):
    environment(variables)

    def connect(*_, **__):
        raise AssertionError("connected")

    monkeypatch.setattr(jax.distributed, "initialize", connect)
    alone = Execution(coordinator="nowhere:1", num_processes=1, process_id=0)
    for execution in (Execution(), alone):
        with distributed_session(execution), first_process_first():
            assert gather_values({"a": 1}) == [{"a": 1}]
            assert broadcast_from_first({"a": 1}) == {"a": 1}
            assert broadcast_checkpoint(None, 0) == (0, None, None)
            assert type(signal_handler()) is SignalHandler
            require_same_flags({}, execution, difference=None)


def test_a_single_process_does_not_import_what_several_need():
    code = "import sys, rnnjax.distributed.session, rnnjax.distributed.stop_agreement as s; s.signal_handler(); "
    code += (
        "from rnnjax.distributed import collectives as c; c.broadcast_from_first(1); c.broadcast_checkpoint(None, 0); "
    )
    code += "print('jax.experimental.multihost_utils' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert finished.stdout == "False\n"


def test_flags_come_before_the_launcher(environment):
    environment(SLURM)
    assert find_launcher(Execution(coordinator="10.0.0.1:8476", num_processes=3, process_id=2)) == "--coordinator"
    assert find_launcher(Execution(coordinator="10.0.0.1:8476", num_processes=1, process_id=0)) is None


@pytest.mark.parametrize(
    ("variables", "name"), [(SLURM, "SLURM"), (OPEN_MPI | ORTE, "Open MPI"), (OPEN_MPI, "Open MPI")]
)
def test_a_launcher_of_several_processes_is_detected(variables, name, environment):
    environment(variables)
    assert find_launcher(Execution()) == name


@pytest.mark.parametrize(
    ("variables", "all_gpus"),
    [
        ({}, False),
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, False),
        ({"CUDA_VISIBLE_DEVICES": "3"}, True),  # SLURM shows each process only its own GPU
        ({"SLURM_STEP_TASKS_PER_NODE": "1(x4)"}, True),  # one process a node has all its GPUs
    ],
)
def test_the_only_process_of_a_machine_has_all_its_gpus(variables, all_gpus, environment, monkeypatch):
    environment(SLURM | variables)
    assert owns_all_visible_gpus() is all_gpus
    updates = {}
    monkeypatch.setattr(jax.distributed, "initialize", lambda **_: None)
    monkeypatch.setattr(jax.config, "update", updates.__setitem__)
    initialize_from_launcher("SLURM")
    assert updates.get("jax_cuda_visible_devices") == ("all" if all_gpus else None)


def test_an_open_mpi_that_jax_does_not_detect_needs_flags(environment, monkeypatch):
    environment(OPEN_MPI)

    def fail(**_):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", fail)
    with (
        pytest.raises(UserError, match=r"Open MPI seems to have started several processes, .*defined\); give"),
        distributed_session(Execution()),
    ):
        pass


class Metadata(BaseHTTPRequestHandler):
    def do_GET(self):
        assert self.headers["Metadata-Flavor"] == "Google"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a:0:10.0.0.2,b:1:10.0.0.3")

    def log_message(self, *_):
        pass


def test_a_tpu_pod_is_detected_by_its_hosts(environment, monkeypatch):
    monkeypatch.setenv("TPU_WORKER_HOSTNAMES", "t0,t1")
    assert find_launcher(Execution()) == find_launcher(Execution(platform="tpu")) == "A TPU pod"
    assert find_launcher(Execution(platform="cpu")) is None
    monkeypatch.delenv("TPU_WORKER_HOSTNAMES")
    monkeypatch.delenv("TPU_SKIP_MDS_QUERY")
    with HTTPServer(("localhost", 0), Metadata) as server:
        monkeypatch.setattr(launcher, "TPU_HOSTS", f"http://localhost:{server.server_port}/")
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert find_launcher(Execution()) == "A TPU pod"
        thread.join()
    monkeypatch.setattr(launcher, "TPU_HOSTS", f"http://localhost:{1}/")
    assert find_launcher(Execution()) is None
