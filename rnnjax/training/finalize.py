"""After training: the best parameters of every member are tested and diagnosed, and the results written."""

from collections.abc import Sequence

from rnnjax.runs.json_io import write_json
from rnnjax.runtime.progress import ProgressView
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.training.checkpointing import TrainProgress
from rnnjax.training.diagnose_run import diagnosis_record, explains_words, word_records
from rnnjax.training.evaluate import accuracy_by_distance, evaluate
from rnnjax.training.run_state import RESULT, RunState
from rnnjax.training.setup import EnsembleSetup, stack_trees
from rnnjax.training.step.losses import BY_LOSS


def finalize(prepared: EnsembleSetup, members: Sequence[RunState], done: TrainProgress, view: ProgressView) -> None:
    """Write ``diagnosis-end.json`` and ``result.json`` of every member that has not failed, and a line to ``view``.

    Args:
        prepared: setup of the ensemble.
        members: the M runs, trained.
        done: how far they were trained.
        view: where progress is shown, and the failures of the others.
    """
    ensemble = prepared.ensemble
    ended = [i for i, member in enumerate(members) if member.failure is None]
    for i in set(range(len(members))) - set(ended):
        view.line(str(members[i].failure), style="red")
    if not ended:
        return
    view.start(f"{ensemble.title}: diagnosis and test", total=1 + len(ended))
    # a program scores all M members: one that failed is given another's parameters, and its scores are not used
    best = [member.params if member.failure is None else members[ended[0]].params for member in members]
    tests = evaluate(prepared, "test", prepared.layout.put(ShardingRole.PARAMS, stack_trees(best)))
    seconds = done.seconds / len(members)
    for count, i in enumerate(ended, 1):
        member, trial, dataset, test = members[i], ensemble.specs[i], ensemble.datasets[i], tests[i]
        view.update(count, test.loss)
        found = diagnosis_record(prepared.programs, dataset, member.params, member.best_step)
        if explains_words(dataset):
            found |= word_records(trial.make_model(dataset.sizes, trial.cell.uninitialised()), dataset, member.params)
        write_json(member.folder / "diagnosis-end.json", found)
        distances, (accuracy, minus_loss) = dataset.test.distances, member.best or (float("nan"),) * 2
        result = {
            "test_loss": test.loss,
            "test_accuracy": test.accuracy,
            "best_step": member.best_step,
            "validation_accuracy": accuracy,
            "validation_loss": -minus_loss,
            "seconds": seconds,
            "steps_per_second": done.step / seconds,
            "compile_seconds": prepared.compile_seconds,
            "accuracy_by_distance": None if distances is None else accuracy_by_distance(test.correct, distances),
        }
        write_json(member.folder / RESULT, result)
        by_loss = dataset.objective in BY_LOSS
        scores = [f"{loss:.3g}" for loss in (-minus_loss, test.loss)]
        if not by_loss:
            scores = [f"{share:.3f}" for share in (accuracy, test.accuracy)]
        view.line(
            f"{trial.label:<16} seed {trial.seed}   {done.step} steps in {seconds:.0f} s "
            f"({done.step / seconds:.1f} steps/s)   {'loss: ' * by_loss}validation {scores[0]}   test {scores[1]}"
        )
