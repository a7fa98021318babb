"""Work for a report that must not grow faster than the run: every member is read once and judged once."""

import numpy as np
import pytest
from synthetic_run import write_member, write_run, write_sweep

from rnnjax.report import printing
from rnnjax.report.summary import task
from rnnjax.report.summary.seed_groups import gradient_history, seed_groups
from rnnjax.runs import reader
from rnnjax.runs.reader import load_run


def count_calls(monkeypatch, module, name):
    """The names of the members for which a function of a module is called from now on."""
    calls, function = [], getattr(module, name)

    def counted(member, *rest):
        calls.append(member.name)
        return function(member, *rest)

    monkeypatch.setattr(module, name, counted)
    return calls


@pytest.fixture
def swept(tmp_path):
    """Four members of two tasks, which differ in their largest distance."""
    run = write_run(tmp_path / "run")
    for distance, rate, accuracy in ((50, 0.1, 0.6), (50, 0.2, 0.9), (100, 0.1, 0.7), (100, 0.2, 0.65)):
        varied = {"max_distance": distance, "learning_rate": rate}
        validation = [(100, np.nan, accuracy)]
        write_member(run, f"GRU {distance} {rate}", varied=varied, validation=validation)
    return run


def test_the_best_skill_of_every_task_in_one_pass(swept, monkeypatch):
    members = load_run(swept).members
    calls = count_calls(monkeypatch, task, "skill")
    best = task.best_skills(members)
    assert sorted(calls) == sorted(member.name for member in members)
    of_tasks = {50: 0.8, 100: 0.4}  # (0.9 - 0.5) / 0.5 and (0.7 - 0.5) / 0.5
    assert len(best) == 2
    for member in members:
        assert best[task.task_key(member)] == pytest.approx(of_tasks[member.varied["max_distance"]])


def test_no_skill_is_known_without_validations(tmp_path):
    run = write_run(tmp_path / "run")
    write_member(run, "GRU", validation=[])
    (member,) = load_run(run).members
    assert task.best_skills((member,)) == {}


def test_a_printed_report_reads_every_member_once(tmp_path, monkeypatch):
    run = write_sweep(write_run(tmp_path / "run"), "learning_rate", {("GRU", rate): [0.9] for rate in (0.1, 0.2, 0.3)})
    calls = count_calls(monkeypatch, reader, "read_member")
    printing.print_reports((run,))
    assert len(calls) == 3


def test_a_gradient_history_has_each_step_of_any_seed_once(tmp_path):
    """Seeds that logged different steps, one of them a step twice, as after a resumed run: the first one counts."""
    run = write_run(tmp_path / "run")
    norms = {seed: [np.full(3, float(10 * seed + row)) for row in range(3)] for seed in (1, 2)}
    write_member(run, "GRU", 1, curves={"h": norms[1]}, gradient_steps=[0, 10, 20])
    write_member(run, "GRU", 2, curves={"h": norms[2]}, gradient_steps=[0, 20, 20])
    (group,) = seed_groups(load_run(run))
    steps, history = gradient_history(group, (0, "h"))
    np.testing.assert_array_equal(steps, [0, 10, 20])
    np.testing.assert_array_equal(history, np.repeat([[10.0], [11.0], [12.0]], 3, axis=1))  # the lower median of two
