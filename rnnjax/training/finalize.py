"""After training: the best parameters of every member are tested and diagnosed, and the results written."""

from collections.abc import Sequence

import msgspec

from rnnjax.data.dataset import Dataset, Objective
from rnnjax.runs.member_schema import RunResult
from rnnjax.runtime.progress import ProgressView
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.training.checkpointing import TrainProgress
from rnnjax.training.diagnose_run import diagnose_trained
from rnnjax.training.evaluate import accuracy_by_distance, evaluate
from rnnjax.training.fixed_point_search import search_fixed_points
from rnnjax.training.run_state import RunState
from rnnjax.training.setup import EnsembleSetup, stack_trees
from rnnjax.training.step.losses import BY_LOSS
from rnnjax.training.train_loop import write_start_diagnoses


def finalize(setup: EnsembleSetup, members: Sequence[RunState], done: TrainProgress, view: ProgressView) -> None:
    """Write diagnoses and ``result.json`` of every member that has not failed, and a line to ``view``.

    Args:
        setup: of the ensemble.
        members: the M runs, trained.
        done: how far they were trained.
        view: where progress is shown, and the failures of the others.
    """
    ensemble = setup.ensemble
    write_start_diagnoses(setup, members)
    ended = [i for i, member in enumerate(members) if member.failure is None]
    for i in set(range(len(members))) - set(ended):
        view.line(str(members[i].failure), style="red")
    if not ended:
        return
    view.start(f"{ensemble.title}: diagnosis and test", total=1 + len(ended))
    # a program scores all M members: one that failed is given another's parameters, and its scores are not used
    best = [member.params if member.failure is None else members[ended[0]].params for member in members]
    params = setup.layout.put(ShardingRole.PARAMS, stack_trees(best))
    tests = evaluate(setup, "test", params)
    of_numbers = ensemble.datasets[0].objective is Objective.NUMBER
    validations = evaluate(setup, "validation", params) if of_numbers else tests
    seconds = done.seconds / len(members)
    for count, i in enumerate(ended, 1):
        member, spec, dataset, test = members[i], ensemble.specs[i], ensemble.datasets[i], tests[i]
        view.update(count, test.loss)
        model = spec.make_model(dataset.sizes, spec.cell.uninitialised())
        diagnosis = diagnose_trained(setup.programs, model, dataset, member.params, member.best_step)
        if dataset.fixed_points:
            searched = search_fixed_points(model, dataset, member.params)
            diagnosis = msgspec.structs.replace(diagnosis, fixed_points=searched)
        member.writer.write_diagnosis("end", diagnosis)
        distances, (accuracy, minus_loss) = dataset.test.distances, member.best or (float("nan"),) * 2
        result = RunResult(
            test_loss=test.loss,
            test_accuracy=test.accuracy,
            best_step=member.best_step,
            validation_accuracy=accuracy,
            validation_loss=-minus_loss,
            seconds=seconds,
            steps_per_second=done.step / seconds,
            compile_seconds=setup.compile_seconds,
            accuracy_by_distance=None if distances is None else accuracy_by_distance(test.correct, distances),
            test_errors=test.errors or msgspec.UNSET,
            validation_errors=validations[i].errors or msgspec.UNSET,
        )
        member.writer.write_result(result)
        view.line(
            f"{spec.label:<16} seed {spec.seed}   {done.step} steps in {seconds:.0f} s "
            f"({done.step / seconds:.1f} steps/s)   {_scores(dataset, result)}"
        )


def _scores(dataset: Dataset, result: RunResult) -> str:
    """The main score of validation and test, for the terminal."""
    validation, test = result.validation_errors, result.test_errors
    if dataset.label_scale is not None and validation is not msgspec.UNSET and test is not msgspec.UNSET:
        return f"RMSE: validation {validation.rmse:.3g}   test {test.rmse:.3g}   R²: test {test.r2:.3f}"
    if dataset.objective in BY_LOSS:
        return f"loss: validation {result.validation_loss:.3g}   test {result.test_loss:.3g}"
    return f"validation {result.validation_accuracy:.3f}   test {result.test_accuracy:.3f}"
