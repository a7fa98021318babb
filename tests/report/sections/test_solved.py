"""How far each cell gets, where a sweep varies the length of the task."""

import io
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console
from synthetic_run import write_number_task

from rnnjax.data.dataset import Objective
from rnnjax.report.sections import solved
from rnnjax.runs.member_schema import AccuracyByDistance, RunResult
from rnnjax.runs.reader import load_run
from rnnjax.runs.run_record import Run
from rnnjax.runs.schema import TaskInfo

RESULT = RunResult(
    test_loss=0.1, test_accuracy=0.9, validation_accuracy=0.9, best_step=1,
    seconds=1.0, steps_per_second=1.0, compile_seconds=1.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    """Any finished member, to be changed."""
    return load_run(write_number_task(Path(tmp_path_factory.mktemp("solved")) / "run")).members[0]


@pytest.fixture
def run_of(member):
    def make(*record, task=TaskInfo(), baseline=None):  # noqa: B008
        """A run of members told as (label, seed, length, result)."""
        members = tuple(
            replace(
                member, label=f"{label} length={length}", seed=seed, varied={"length": length}, result=result,
                task=task, baseline=baseline,
            )
            for label, seed, length, result in record
        )  # fmt: skip
        return replace(load_run_like(member), members=members)

    return make


def load_run_like(member):
    return Run(Path("x"), "recall", {}, {}, (member,), ())


def right(accuracy):
    return msgspec.structs.replace(RESULT, test_accuracy=accuracy)


def test_each_length_counts_its_seeds_and_the_largest_is_that_of_the_median_seed(run_of):
    accuracies = {0: (1.0, 0.96, 0.94), 1: (0.99, 0.5, 0.97), 2: (0.949, 0.5, 0.5)}
    run = run_of(
        *(
            ("LSTM", seed, length, right(accuracy))
            for seed, row in accuracies.items()
            for length, accuracy in zip((10, 20, 40), row, strict=True)
        )
    )
    (row,) = solved.solved(run)[2]
    assert (row.label, row.finished, row.solving) == ("LSTM", (3, 3, 3), (2, 1, 1))
    assert row.farthest.tolist() == [20, 40, 0]
    assert solved.table_rows(run) == [
        ["cell, by length", "10", "20", "40", "largest solved"],
        ["LSTM", "2/3", "1/3", "1/3", "20 (0–40)"],
    ]


def test_accuracy_counts_at_the_largest_distance_where_there_are_distances(run_of):
    by_distance = msgspec.structs.replace(
        right(0.99),
        accuracy_by_distance=AccuracyByDistance(distance=np.array([5, 10]), accuracy=np.array([1.0, 0.6])),
    )
    assert solved.table_rows(run_of(("GRU", 0, 10, by_distance)))[1] == ["GRU", "0/1", "0"]


def test_of_a_number_the_loss_counts_as_a_part_of_the_baseline(run_of):
    losses = [msgspec.structs.replace(RESULT, test_loss=loss) for loss in (0.0166, 0.0167)]
    record = [("LSTM", seed, 10, result) for seed, result in enumerate(losses)]
    assert solved.table_rows(run_of(*record, task=TaskInfo(objective=Objective.NUMBER), baseline=1 / 6))[1][1] == "1/2"
    assert solved.table_rows(run_of(*record, task=TaskInfo(objective=Objective.NUMBER))) == []


def test_unfinished_seeds_are_not_counted_and_without_a_swept_length_there_is_no_table(run_of, member):
    run = run_of(("LSTM", 0, 10, None), ("LSTM", 1, 10, right(1.0)), ("LSTM", 1, 20, None))
    assert solved.table_rows(run) == [["cell, by length", "10", "largest solved"], ["LSTM", "1/1", "10"]]
    single = load_run_like(member)
    assert (solved.table_rows(single), solved.sections(single), solved.rich_solved(single)) == ([], [], None)


@pytest.mark.parametrize("length", ["x", None, True])
def test_members_whose_length_is_no_number_are_not_counted(run_of, length):
    run = run_of(("LSTM", 0, 10, right(1.0)), ("LSTM", 1, length, right(1.0)))
    assert solved.table_rows(run) == [["cell, by length", "10", "largest solved"], ["LSTM", "1/1", "10"]]


def test_a_label_is_no_markup_in_the_terminal(run_of):
    console = Console(file=io.StringIO(), width=100)
    console.print(solved.rich_solved(run_of(("LSTM [/x] [bold]", 0, 10, right(1.0)))))
    assert "LSTM [/x] [bold]" in console.file.getvalue()


def test_the_page_has_it_escaped(run_of):
    (section,) = solved.sections(run_of(("<b>", 0, 10, right(1.0))))
    assert "&lt;b&gt;" in section.html
    assert "1/1" in section.html
