"""Which of eight devices an ensemble uses, and how its programs are compiled."""

import dataclasses
import os
import subprocess
import sys

import jax
import pytest

from rnnjax.config.execution import Execution
from rnnjax.errors import UserError
from rnnjax.sharding.devices import (
    SCHEDULER,
    check_devices,
    choose_layout,
    configure_devices,
    describe_matmul_precision,
)
from rnnjax.sharding.layout import MeshLayout, PmapLayout


@pytest.mark.parametrize(
    ("flags", "members", "shape"),
    [
        ({}, 1, (1, 2, 1)),
        ({}, 3, (3, 2, 1)),
        ({}, 8, (8, 1, 1)),
        ({}, 9, (5, 1, 1)),
        ({}, 12, (6, 1, 1)),
        ({}, 32, (8, 1, 1)),
        ({"devices": 8}, 1, (1, 8, 1)),
        ({"devices": 8}, 3, (1, 8, 1)),
        ({"devices": 8}, 6, (2, 4, 1)),
        ({"devices": 8}, 16, (8, 1, 1)),
        ({"devices": 6}, 4, (2, 3, 1)),
        ({"devices": 1}, 4, (1, 1, 1)),
        ({"cpu_devices": 8}, 4, (4, 2, 1)),
        ({"parallel": "sharded"}, 2, (2, 4, 1)),
        ({"parallel": "sharded", "model_devices": 2}, 2, (2, 2, 2)),
        ({"parallel": "sharded", "model_devices": 2, "devices": 4}, 1, (1, 2, 2)),
        ({"parallel": "sharded", "model_devices": 3, "devices": 6}, 1, (1, 2, 3)),
        ({"parallel": "sharded", "model_devices": 8}, 5, (1, 1, 8)),
    ],
)
def test_members_come_first_then_the_batch(flags, members, shape):
    layout = choose_layout(Execution(**flags), members, 32)
    assert isinstance(layout, MeshLayout)
    assert dict(layout.mesh.shape) == dict(zip(("member", "data", "model"), shape, strict=True))
    assert layout.mesh.devices.ravel().tolist() == jax.devices()[: layout.mesh.size]
    assert (layout.members, layout.member_loop) == (members, "map")


@pytest.mark.parametrize(
    ("batch_size", "count"), [(8, 1), (31, 1), (32, 2), (33, 1), (48, 3), (51, 3), (64, 4), (1024, 8)]
)
def test_a_core_gets_no_fewer_than_sixteen_examples(batch_size, count):
    layout = choose_layout(Execution(), 1, batch_size)
    assert (layout.mesh.size, layout.batch_size(batch_size)) == (count, batch_size)


@pytest.mark.parametrize(("devices", "count"), [(None, 8), (3, 3)])
def test_pmap_divides_the_batch_alone(devices, count):
    layout = choose_layout(Execution(parallel="pmap", devices=devices), 5, 32)
    assert layout == PmapLayout(5, tuple(jax.devices()[:count]), "map")


@dataclasses.dataclass(frozen=True)
class Card:
    id: int
    platform: str = "gpu"


def test_an_accelerator_takes_members_all_at_once(monkeypatch):
    cards = [Card(i) for i in range(4)]
    monkeypatch.setattr(jax, "devices", lambda: cards)
    assert choose_layout(Execution(parallel="pmap"), 3, 32) == PmapLayout(3, tuple(cards), "vmap")
    layout = choose_layout(Execution(), 2, 32)
    assert (layout.member_loop, layout.mesh.devices.shape) == ("vmap", (2, 2, 1))


def test_devices_that_are_given_are_used_whatever_is_here():
    cards = [Card(i, "tpu") for i in range(4)]
    assert choose_layout(Execution(parallel="pmap"), 3, 32, cards) == PmapLayout(3, tuple(cards), "vmap")
    with pytest.raises(UserError, match="there are only 4"):
        choose_layout(Execution(devices=5), 3, 32, cards)


def test_several_processes_divide_the_batch_over_all_their_devices(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert dict(choose_layout(Execution(), 4, 32).mesh.shape) == {"member": 1, "data": 8, "model": 1}
    assert choose_layout(Execution(devices=8), 4, 32) == choose_layout(Execution(), 4, 32)
    with pytest.raises(UserError, match=r"^--devices 4: several processes use all their 8 devices\.$"):
        choose_layout(Execution(devices=4), 4, 32)


@pytest.mark.parametrize("mode", ["jit", "pmap", "sharded"])
def test_more_devices_than_there_are_is_said(mode):
    with pytest.raises(UserError, match=r"^--devices 9: there are only 8; --cpu-devices makes more\.$"):
        choose_layout(Execution(parallel=mode, devices=9), 1, 32)


@pytest.mark.parametrize(("model", "devices", "there"), [(3, None, 8), (4, 6, 6), (8, 4, 4), (16, None, 8)])
def test_parameters_that_do_not_divide_over_the_devices_are_said(model, devices, there):
    execution = Execution(parallel="sharded", model_devices=model, devices=devices)
    with pytest.raises(UserError, match=rf"^--model-devices {model} does not divide the {there} devices"):
        choose_layout(execution, 1, 32)


def test_the_number_of_cpu_devices_must_be_that_of_the_process():
    check_devices(Execution(cpu_devices=8))
    check_devices(Execution())
    with pytest.raises(UserError, match=r"^--cpu-devices 3 comes too late: JAX runs on 8 already\.$"):
        check_devices(Execution(cpu_devices=3))


def test_settling_devices_that_are_in_use_changes_nothing():
    assert jax.local_device_count() == 8
    configure_devices(Execution(cpu_devices=3))
    assert jax.local_device_count() == jax.config.jax_num_cpu_devices == 8


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", f"{SCHEDULER}=false"),
        ("--xla_dump_to=/tmp", f"--xla_dump_to=/tmp {SCHEDULER}=false"),
        (f"{SCHEDULER}=true", f"{SCHEDULER}=true"),
    ],
)
def test_xla_orders_programs_for_one_thread_unless_the_flag_is_set(flags, expected, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", flags)
    configure_devices(Execution(cpu_devices=8))
    assert os.environ["XLA_FLAGS"] == expected


@pytest.mark.parametrize(("given", "expected"), [("default", "tensorfloat32"), ("highest", "highest")])
def test_the_precision_of_matrix_products_is_that_of_the_flag_or_else_of_the_environment(given, expected):
    jax.config.update("jax_default_matmul_precision", "tensorfloat32")  # as the environment variable does
    try:
        configure_devices(Execution(cpu_devices=8, matmul_precision=given))
        assert describe_matmul_precision() == expected
    finally:
        jax.config.update("jax_default_matmul_precision", None)
    assert describe_matmul_precision() == "default"


THREE = """
import sys
from rnnjax.errors import UserError
from rnnjax.config.execution import Execution
from rnnjax.sharding.devices import check_devices, choose_layout, describe_devices, configure_devices
execution = Execution(platform=sys.argv[1], cpu_devices=3)
configure_devices(execution)
try:
    check_devices(execution)
except UserError as error:
    sys.exit(f"error: {error}")
print(len(describe_devices()), describe_devices()[0], *choose_layout(execution, 6, 32).mesh.shape.values())
"""


def run_in_process(platform):
    return subprocess.run([sys.executable, "-c", THREE, platform], capture_output=True, text=True, timeout=120)


def test_a_cpu_is_divided_into_as_many_devices_as_are_wanted():
    finished = run_in_process("cpu")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "3 cpu:0 cpu 3 1 1\n", "")


def test_a_platform_that_is_not_there_is_one_sentence(monkeypatch):
    def missing():
        raise RuntimeError("Unable to initialize backend 'tpu'\nand more")

    monkeypatch.setattr(jax, "local_device_count", missing)
    message = (
        r"^There is no tpu for JAX here \(Unable to initialize backend 'tpu'\); install JAX for it, or take another"
    )
    with pytest.raises(UserError, match=message):
        check_devices(Execution(platform="tpu"))
