"""Invalid sweeps, shards and lists of cells: one sentence for each."""

import dataclasses

import pytest

import rnnjax
from experiments.study import run_specs
from experiments.sweep import sweepable_flags
from experiments.tasks.recall import Recall
from experiments.tasks.text import Text
from experiments.tasks.trainability import Trainability
from rnnjax.cells.registry import CELLS
from rnnjax.config.training import TrainingSettings
from rnnjax.errors import UserError


def study(*sweep, cells=("lstm",), seeds=1, shard=None):
    training = TrainingSettings(seeds=seeds)
    return run_specs(Recall(cells=cells, sweep=sweep, shard=shard, training=training), progress=print)


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("x", "--sweep must be name=value,value as in --sweep learning_rate=1e-3,3e-3, but 'x' was given"),
        ("=1", "--sweep must be name=value,value"),
        ("features=", "--sweep must be name=value,value"),
        ("features=1,,2", "--sweep must be name=value,value"),
        ("colour=red", r"no 'colour' .*; choose from features, .*, steps, .*, epochs, .*cell\.init, .*cell\.chrono"),
        ("features=many", "--sweep features must be a whole number, but 'many' was given"),
        ("features=1.5", "--sweep features must be a whole number, but '1.5' was given"),
        ("clip=yes", "--sweep clip must be a number, but 'yes' was given"),
        ("schedule=linear", "--sweep schedule must be constant or cosine, but 'linear' was given"),
        ("features=4,0", "--features must be at least 1, but 0 was given"),
        ("learning_rate=-1", r"--learning-rate must be a number above 0, but -1\.0 was given"),
        ("min_distance=300", "--min-distance must be from 0 to --max-distance, but 300 was given"),
        ("features=4,04", "--sweep features must have different values, but 4,04 was given"),
        ("omega=1,1.0", "--sweep omega must have different values"),
        ("cell.recurrent_init=orthogonal,orthogonal*1", "--sweep cell.recurrent_init must have different values"),
        ("cell.init=chrono,chrono", "--sweep cell.init must have different values"),
        ("cell.init=random", "--sweep cell.init must be default, chrono, orthogonal, .* but 'random' was given"),
        ("bidirectional=yes", "--sweep bidirectional must be true or false, but 'yes' was given"),
        ("bidirectional=1,0", "--sweep bidirectional must be true or false, but '1' was given"),
        ("pooling=sum", "--sweep pooling must be last or mean or max or attention, but 'sum' was given"),
        ("dropout=0.5,1", r"--dropout must be from 0 to below 1, but 1\.0 was given"),
        ("cell.chrono=soon", "--sweep cell.chrono must be a whole number, or none, but 'soon' was given"),
        ("cell.chrono=2", "In 'lstm:chrono=2', chrono must be at least 3 steps, got 2"),
        ("cell.activation=relu", "The cell 'lstm' has no option activation, which .* --cells simple indrnn ctrnn$"),
        *((f"{name}=1", f"There is no '{name}' that --sweep can vary; choose from")
          for name in ("seed", "seeds", "cells", "out", "sweep", "shard", "execution", "training", "tensorboard")),
    ],
)  # fmt: skip
def test_a_wrong_sweep_is_one_sentence(sweep, message):
    with pytest.raises(UserError, match=message.rstrip("$") + (r"\.$" if message.endswith("$") else "")) as error:
        study(sweep)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


@pytest.mark.parametrize(
    ("sweeps", "cells", "message"),
    [
        (("clip=1", "clip=2"), ("lstm",), "--sweep clip is given twice; give it once"),
        (("batch-size=1", "batch_size=2"), ("lstm",), "--sweep batch_size is given twice"),
        (("cell.chrono=9",), ("lstm", "simple"), "'simple' has no option chrono, which .* --cells lstm gru"),
        (("cell.init=default,chrono",), ("simple",), "'simple' has no option chrono, which --sweep cell.init sets"),
        (("cell.init=chrono",), ("gru", "gru:chrono=9"), "cell.init sets chrono of the cell 'gru:chrono=9', which se"),
        (("cell.chrono=9", "cell.init=chrono"), ("gru",), "cell.init sets chrono of the cell 'gru', which sets it"),
        ((), (), "--cells must be one or more different cells, but none was given"),
        ((), ("lstm", "gru", "LSTM"), "--cells must be one or more different cells, but lstm gru LSTM was given"),
        (("features=1,2",), ("lstm", "lstm"), "one or more different cells, but lstm lstm was given"),
        ((), ("lstm", "lstn"), "There is no cell 'lstn'; choose from simple, lstm, gru"),
    ],
)
def test_sweeps_and_cells_that_do_not_fit_are_refused(sweeps, cells, message):
    with pytest.raises(UserError, match=message):
        study(*sweeps, cells=cells)


@pytest.mark.parametrize(
    ("experiment", "runs"),
    [
        (Recall(cells=("lstm",), training=TrainingSettings(seeds=2**31 - 1)), "2,147,483,647"),
        (Recall(cells=("lstm", "gru"), sweep=("clip=1,2,3",), training=TrainingSettings(seeds=16667)), "100,002"),
        # one LSTM with 5 forget biases and 2 other cells with 4 gains, each over 10 distances
        (
            Trainability(
                cells=("lstm", "gru", "simple"), forget_biases=(1, 2, 3, 4, 5), gains=(1, 2, 3, 4),
                distances=tuple(range(1, 11)), training=TrainingSettings(seeds=1000),
            ),
            "130,000",
        ),
    ],
)  # fmt: skip
def test_a_study_without_end_is_refused_before_its_runs_are_made(experiment, runs):
    with pytest.raises(UserError) as error:
        run_specs(experiment, progress=print)
    assert str(error.value) == (
        f"A study may have 100,000 runs, but the cells, --sweep and --seeds together ask for {runs}; give fewer of "
        "them."
    )


@pytest.mark.parametrize(
    ("sweeps", "cell", "message"),
    [
        ((), "lstm:clip=1,clip=2", "In 'lstm:clip=1,clip=2', clip is given twice; give it once"),
        (
            (),
            "lstm:chrono=9,clip=1,chrono=8",
            "In 'lstm:chrono=9,chrono=8', chrono is given twice; give it once",
        ),
        (
            ("clip=1,2",),
            "lstm:clip=3",
            "--sweep clip sets a flag that the cell 'lstm:clip=3' sets already; set it in one",
        ),
        (
            ("cell.chrono=9",),
            "lstm:chrono=8,clip=3",
            "--sweep cell.chrono sets chrono of the cell 'lstm:chrono=8', which sets",
        ),
        (
            (),
            "lstm:colour=red",
            "In 'lstm:colour=red', colour is neither an option .*chrono.* nor a flag .*clip",
        ),
        ((), "lstm:seeds=2", "In 'lstm:seeds=2', seeds is neither an option"),
        ((), "lstm:clip=much", "clip of the cell 'lstm:clip=much' must be a number, but 'much' was given"),
        ((), "lstm:clip", "clip of the cell 'lstm:clip' must be a number, but '' was given"),
        ((), "lstm:bidirectional=yes", "bidirectional of the cell .* must be true or false, but 'yes' was given"),
        ((), "lstm:layers=0", "--layers must be at least 1, but 0 was given"),
    ],
)
def test_flags_of_a_cell_that_do_not_fit_are_refused(sweeps, cell, message):
    with pytest.raises(UserError, match=message) as error:
        study(*sweeps, cells=(cell,))
    assert "\n" not in str(error.value)


def test_a_name_of_both_an_option_and_a_flag_is_refused(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Clipped(rnnjax.SimpleRNN):
        clip: float = 1.0

    monkeypatch.setitem(CELLS, "clipped", Clipped)
    with pytest.raises(UserError) as error:
        study(cells=("clipped:clip=2",))
    assert str(error.value) == (
        "In 'clipped:clip=2', clip is an option of the cell and a flag as well; set it with --sweep cell.clip=2 or "
        "--sweep clip=2."
    )
    (one, two) = (study(sweep, cells=("clipped",))[0] for sweep in ("cell.clip=2", "clip=2"))
    assert (one.cell.clip, one.settings.clip, two.cell.clip, two.settings.clip) == (2, 1, 1, 2)


@pytest.mark.parametrize(
    ("shard", "message"),
    [
        ("1/3", "--shard 1/3 is empty, since the study has only 2 runs; use fewer shards."),
        *((wrong, f"--shard must be i/n with i from 1 to n, as in 1/4, but {wrong} was given.")
          for wrong in ("0/2", "3/2", "1/0", "2", "a/b", "1/2/3", "-1/2", "", "١/٢", "1/2\n")),
    ],
)  # fmt: skip
def test_a_wrong_shard_is_one_sentence(shard, message):
    with pytest.raises(UserError) as error:
        study(seeds=2, shard=shard)
    assert str(error.value) == message


def test_leading_zeros_of_a_shard_make_no_difference():
    assert [spec.name for spec in study(seeds=4, shard="02/004")] == [spec.name for spec in study(seeds=4, shard="2/4")]


def test_what_changes_the_classes_of_a_text_is_not_swept():
    """Their names stand in task.json once for all cells."""
    assert not {"label_column", "train", "test", "text_column"} & sweepable_flags(Text(train="x.tsv")).keys()
