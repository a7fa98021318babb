"""How far back the answers of finished runs depend on their input: a table of all, and a figure and CSV in each run."""

import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import msgspec

from experiments.base import Experiment
from experiments.registry import experiment_from_config
from experiments.restore import changed_data, check_contents, check_own_cells
from experiments.study import run_specs
from rnnjax.analysis.decision import HashableModel
from rnnjax.analysis.input_reach import input_reach
from rnnjax.analysis.last_answers import Apply
from rnnjax.cells.specs.own_cells import own_cell_errors
from rnnjax.data.dataset import Dataset
from rnnjax.errors import UserError
from rnnjax.formatting import plural
from rnnjax.nn.saved_params import read_params
from rnnjax.report.figures import style
from rnnjax.report.figures.input_reach import input_reach as draw
from rnnjax.report.sections.rendering import write_or_remove
from rnnjax.report.summary.input_reach import NetworkReach, steps_of
from rnnjax.report.tables.input_reach import NOTE, SHARES, curves_csv, reach_csv, rich_reach
from rnnjax.runs.json_io import write_bytes
from rnnjax.runs.reader import read_config, read_objective, read_outcome, read_task, read_vocabulary
from rnnjax.runs.schema import FIGURES, PARAMS, REACH, REACH_CURVES, Config, TaskInfo, member_folder
from rnnjax.runtime.console import Terminal
from rnnjax.runtime.progress import ProgressView
from rnnjax.training.run_spec import RunSpec
from rnnjax.training.step.multi_step import scale_bytes
from rnnjax.typing import AnyArray, ModelParams, PyTree

MOST_IN_SENTENCE = 3  # names of networks that an error lists


class _FinishedRun(NamedTuple):
    """A run that is to be measured."""

    path: Path
    config: Config
    experiment: Experiment
    task: TaskInfo
    specs: tuple[RunSpec, ...]  # of the networks that did not fail


def print_reach(runs: Sequence[Path], examples: int, terminal: Terminal) -> None:
    """Measure every trained network of the runs, write the result into each run folder, and print one table.

    Args:
        runs: run folders of finished runs.
        examples: of the test data, at most, on which scores are measured.
        terminal: where table and progress are printed.

    Raises:
        UserError: there is no run, one of the folders is none, is not finished, cannot be written into or is damaged,
            or its data has changed since the run.
    """
    if not runs:
        raise UserError("reach needs at least one run folder, as in launch.py reach runs/recall-20260101-120000.")
    if examples < 1:
        raise UserError(f"--examples is {examples}; give a number of at least 1.")
    networks: list[NetworkReach] = []
    with ProgressView(terminal) as view:
        for run in [_finished(path) for path in dict.fromkeys(runs)]:
            with own_cell_errors(spec.cell for spec in run.specs):
                measured = list(_measure(run, examples, view))
            _write(run.path, measured)
            networks += measured
    terminal.print(rich_reach(networks))
    terminal.print(NOTE, style="dim", highlight=False)
    for path in dict.fromkeys(network.run for network in networks):
        for file in (REACH, REACH_CURVES, f"{FIGURES}/reach.png"):
            terminal.print((path / file).resolve(), markup=False, highlight=False, soft_wrap=True)


def _finished(path: Path) -> _FinishedRun:
    """The run in a folder; UserError unless all of its networks have ended, and one of them with a result."""
    config, task = read_config(path), read_task(path)
    read_objective(path)
    experiment = experiment_from_config(config)
    check_own_cells(experiment, path, config)
    specs = run_specs(experiment, progress=lambda line: None)
    outcomes = [(spec, read_outcome(member_folder(path, spec.name))) for spec in specs]
    if unfinished := [spec.name for spec, outcome in outcomes if outcome is None]:
        names = ", ".join(unfinished[:MOST_IN_SENTENCE]) + (", ..." if len(unfinished) > MOST_IN_SENTENCE else "")
        raise UserError(
            f"The run '{path}' is not finished ({len(unfinished)} of {len(specs)} networks are not: {names}); continue "
            "it with its flags, --out and --resume, or name another run."
        )
    trained = tuple(spec for spec, outcome in outcomes if outcome == "")
    if not trained:
        raise UserError(f"The run '{path}' has no trained network, since all of them failed; name another run.")
    check_contents(experiment, path, config)
    if not os.access(path, os.W_OK):
        raise UserError(f"The result cannot be written into '{path}'; make the folder writable.")
    return _FinishedRun(path, config, experiment, task, trained)


def _measure(run: _FinishedRun, examples: int, view: ProgressView) -> Iterator[NetworkReach]:
    """Each network of a run, with a line for it when it is done."""
    for spec in run.specs:
        dataset = spec.make_dataset()
        _check_data(run, spec, dataset)
        scale, task = dataset.label_scale, run.task
        if scale is not None:  # that of the member, which differs where a sweep changes the training part
            task = msgspec.structs.replace(task, label_scale=scale)
        model = spec.make_model(dataset.sizes, spec.cell.uninitialised())
        file = member_folder(run.path, spec.name) / PARAMS
        params = jax.device_put(read_params(model, file, dataset.sizes.features))
        length = spec.task.longest if isinstance(spec.task, Experiment) else dataset.test.inputs.shape[1]
        view.start(f"{run.config.experiment}: {spec.label}, seed {spec.seed}", total=1)
        measured = input_reach(
            _apply(HashableModel(model)),
            params,
            dataset.objective,
            dataset.test,
            count=examples,
            also=tuple(steps_of(length, share) for share in SHARES.values()),
            progress=view.steps,
        )
        result = NetworkReach(run.path, run.config.experiment, spec.label, spec.seed, length, task, measured)
        view.line(f"{run.config.experiment}, {spec.label}, seed {spec.seed}: {_in_short(result)}")
        yield result


def _in_short(network: NetworkReach) -> str:
    """The reach of a network, for the line that says that it is done."""
    reach, furthest = network.measured.reach, network.measured.furthest
    if reach is None or furthest is None:
        return "at chance"
    steps = plural(network.task.step)
    return f"95% of the score within {reach:,} of {network.length:,} {steps}, furthest single one {furthest:,} back"


@functools.lru_cache(maxsize=4)
def _apply(static: HashableModel) -> Apply:
    """The outputs of a model; the same function for equal models, so that it is compiled once for all seeds."""
    model = static.model

    def apply(params: ModelParams, inputs: AnyArray, lengths: AnyArray) -> jax.Array:
        result: PyTree = model.apply({"params": params}, scale_bytes(inputs), lengths=lengths)
        outputs: jax.Array = result[1]
        return outputs

    return apply


def _check_data(run: _FinishedRun, spec: RunSpec, dataset: Dataset) -> None:
    """Raise UserError where the words are not those of the training, or there are no two test examples."""
    known = read_vocabulary(member_folder(run.path, spec.name)) or read_vocabulary(run.path)
    if known is not None and dataset.vocabulary != known:
        raise changed_data(run.path, "its vocabulary")
    if len(dataset.test.lengths) < 2:
        raise UserError(f"The run '{run.path}' has one test example, and no other whose inputs it could be given.")


def _write(path: Path, networks: Sequence[NetworkReach]) -> None:
    try:
        write_bytes(path / REACH, reach_csv(networks).encode())
        write_bytes(path / REACH_CURVES, curves_csv(networks).encode())
        write_or_remove(path / FIGURES / "reach.png", style.png(draw(networks)))
    except OSError as error:
        raise UserError(
            f"The result cannot be written into '{path}' ({error.strerror}); make the folder writable."
        ) from error
