"""After training: the best parameters of every member are tested once, examined, and written down."""

from collections.abc import Sequence

import msgspec

from rnnjax.runs.member_schema import RunResult
from rnnjax.runtime.progress import ProgressView
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.training.checkpointing import TrainProgress
from rnnjax.training.diagnose_run import diagnose_member, diagnose_words, explains_words
from rnnjax.training.evaluate import accuracy_by_distance, evaluate
from rnnjax.training.run_state import RunState
from rnnjax.training.setup import EnsembleSetup, stack_trees
from rnnjax.training.step.losses import BY_LOSS


def finalize(prepared: EnsembleSetup, members: Sequence[RunState], done: TrainProgress, view: ProgressView) -> None:
    """Write ``diagnosis-end.json`` and ``result.json`` of every member that has not failed, after training."""
    group = prepared.group
    ended = [i for i, member in enumerate(members) if member.failure is None]
    for i in set(range(len(members))) - set(ended):
        view.line(str(members[i].failure), style="red")
    if not ended:
        return
    view.start(f"{group.title}: diagnosis and test", total=1 + len(ended))
    # a member that failed is scored with another's parameters, and nobody looks
    best = [member.params if member.failure is None else members[ended[0]].params for member in members]
    tests = evaluate(prepared, "test", prepared.layout.put(ShardingRole.PARAMS, stack_trees(best)))
    seconds = done.seconds / len(members)
    for count, i in enumerate(ended, 1):
        member, trial, dataset, test = members[i], group.trials[i], group.datasets[i], tests[i]
        view.update(count, test.loss)
        diagnosis = diagnose_member(prepared.programs, dataset, member.params, member.best_step)
        if explains_words(dataset):
            model = trial.make_model(dataset.sizes, trial.cell.uninitialised())
            texts, swaps = diagnose_words(model, dataset, member.params)
            diagnosis = msgspec.structs.replace(diagnosis, texts=texts, swaps=swaps)
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
            compile_seconds=prepared.compile_seconds,
            accuracy_by_distance=None if distances is None else accuracy_by_distance(test.correct, distances),
        )
        member.writer.write_result(result)
        by_loss = dataset.objective in BY_LOSS
        scores = [f"{loss:.3g}" for loss in (-minus_loss, test.loss)]
        if not by_loss:
            scores = [f"{share:.3f}" for share in (accuracy, test.accuracy)]
        view.line(
            f"{trial.label:<16} seed {trial.seed}   {done.step} steps in {seconds:.0f} s "
            f"({done.step / seconds:.1f} steps/s)   {'loss: ' * by_loss}validation {scores[0]}   test {scores[1]}"
        )
