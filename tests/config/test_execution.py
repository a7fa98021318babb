"""Flags of execution: one sentence for each that is wrong."""

import dataclasses

import pytest

from rnnjax.config.execution import Execution
from rnnjax.errors import UserError

TWO = {"coordinator": "here:1234", "num_processes": 2, "process_id": 1}


@pytest.mark.parametrize(
    ("name", "wrong", "least", "wanted"),
    [
        ("devices", 0, 1, "at least 1"),
        ("cpu_devices", -1, 1, "at least 1"),
        ("model_devices", 0, 1, "at least 1"),
        ("keep_checkpoints", 0, 1, "at least 1"),
        ("checkpoint_every", -1, 0, "0 or more"),
        ("checkpoint_minutes", -0.5, 0.0, "0 or more"),
        ("checkpoint_minutes", float("nan"), 0.0, "0 or more"),
    ],
)
def test_a_number_out_of_range_is_named_by_its_flag(name, wrong, least, wanted):
    with pytest.raises(UserError, match=rf"^--{name.replace('_', '-')} must be {wanted}, but {wrong} was given\.$"):
        Execution(**{name: wrong})
    assert getattr(Execution(**{name: least}), name) == least


@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_parameters_are_divided_by_sharded_alone(parallel):
    with pytest.raises(UserError, match=r"^--model-devices must be 1 without --parallel sharded, but 2 was given\.$"):
        Execution(parallel=parallel, model_devices=2)
    assert Execution(parallel="sharded", model_devices=2).model_devices == 2


TOGETHER = "--coordinator, --num-processes and --process-id are given together, or none of them; add"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_processes": None}, f"{TOGETHER} --num-processes."),
        ({"process_id": None}, f"{TOGETHER} --process-id."),
        ({"coordinator": None}, f"{TOGETHER} --coordinator."),
        ({"coordinator": None, "num_processes": None}, f"{TOGETHER} --coordinator and --num-processes."),
        ({"process_id": 2}, "--process-id must be from 0 to below --num-processes, but 2 was given."),
        ({"process_id": -1}, "--process-id must be from 0 to below --num-processes, but -1 was given."),
        ({"num_processes": 0}, "--num-processes must be at least 1, but 0 was given."),
    ],
)
def test_processes_need_all_three_flags(changes, said):
    whole = Execution(**TWO)
    with pytest.raises(UserError) as refused:
        dataclasses.replace(whole, **changes)
    assert str(refused.value) == said
