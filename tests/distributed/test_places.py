"""How a process knows, by flags or by what has started it, that it is one of several."""

import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import jax
import pytest

from rnnjax.config.execution import Execution
from rnnjax.distributed import processes
from rnnjax.distributed import rendezvous as meeting
from rnnjax.distributed.rendezvous import ProcessInfo, find_process_info
from rnnjax.errors import UserError

SLURM = {
    "SLURM_JOB_ID": "12", "SLURM_STEP_NODELIST": "node[007-008]", "SLURM_NTASKS": "4", "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_STEP_TASKS_PER_NODE": "2(x2)", "SLURM_STEP_NUM_NODES": "2",
}  # fmt: skip
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
ORTE = {"OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911"}


@pytest.fixture
def environment(monkeypatch):
    """Sets variables, with no others in the way."""
    for name in list(os.environ):
        if name.startswith(("SLURM_", "OMPI_", "TPU_", "MEGASCALE_", "KUBERNETES_", "CUDA_VISIBLE", "JAX_COORDINATOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")

    def given(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return given


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
def test_a_single_process_never_asks_jax_for_others(variables, environment, monkeypatch):
    environment(variables)

    def called(*_, **__):
        raise AssertionError("asked")

    monkeypatch.setattr(jax.distributed, "initialize", called)
    monkeypatch.setattr(meeting.ClusterEnv, "auto_detect_unset_distributed_params", called)
    alone = Execution(coordinator="nowhere:1", num_processes=1, process_id=0)
    for execution in (Execution(), alone):
        with processes.distributed_session(execution), processes.first_process_first():
            assert processes.broadcast_from_first({"a": 1}) == {"a": 1}
            assert processes.broadcast_checkpoint(None, 0) == (0, None, None)
            assert type(processes.signal_handling()) is processes.SignalHandler


def test_the_flags_say_where_the_first_is(environment):
    environment(SLURM)  # flags come first
    execution = Execution(coordinator="10.0.0.1:8476", num_processes=3, process_id=2)
    assert find_process_info(execution) == ProcessInfo("10.0.0.1:8476", 3, 2)


@pytest.mark.parametrize(
    ("more", "gpus"),
    [
        ({}, [1]),
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, [1]),
        ({"CUDA_VISIBLE_DEVICES": "3"}, None),  # SLURM has given each its own
        ({"SLURM_STEP_TASKS_PER_NODE": "1(x4)"}, None),  # one process a node has all its GPUs
    ],
)
def test_srun_says_where_the_first_is(more, gpus, environment):
    environment(SLURM | more)
    assert find_process_info(Execution()) == ProcessInfo(f"node007:{12 + 65535 - 4095}", 4, 3, gpus)


def test_open_mpi_says_where_the_first_is(environment):
    environment(OPEN_MPI | ORTE)
    place = find_process_info(Execution())
    assert (place.address.split(":")[0], place.total, place.number, place.gpus) == ("10.96.0.1", 2, 1, [1])


def test_an_open_mpi_that_jax_does_not_know_wants_flags(environment):
    environment(OPEN_MPI)
    with pytest.raises(UserError, match=r"Open MPI seems to have started several processes, .* --coordinator"):
        find_process_info(Execution())


class Metadata(BaseHTTPRequestHandler):
    def do_GET(self):
        assert self.headers["Metadata-Flavor"] == "Google"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"a:0:10.0.0.2,b:1:10.0.0.3")

    def log_message(self, *_):
        pass


def test_a_tpu_pod_is_known_by_its_hosts(environment, monkeypatch):
    monkeypatch.setenv("TPU_WORKER_HOSTNAMES", "t0,t1")
    assert meeting._starter(None) == meeting._starter("tpu") == "A TPU pod"
    assert meeting._starter("cpu") is None
    monkeypatch.delenv("TPU_WORKER_HOSTNAMES")
    monkeypatch.delenv("TPU_SKIP_MDS_QUERY")
    with HTTPServer(("localhost", 0), Metadata) as server:
        monkeypatch.setattr(meeting, "TPU_HOSTS", f"http://localhost:{server.server_port}/")
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert meeting._starter(None) == "A TPU pod"
        thread.join()
    monkeypatch.setattr(meeting, "TPU_HOSTS", f"http://localhost:{1}/")
    assert meeting._starter(None) is None
