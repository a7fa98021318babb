"""A study: many runs of one task, those that can share a program side by side, into one run folder."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax

from rnnjax.config.execution import Execution
from rnnjax.distributed.processes import broadcast_from_first, first_process_first, signal_handling
from rnnjax.errors import UserError
from rnnjax.runs.checkpoint_store import CheckpointStore
from rnnjax.runs.json_io import write_json
from rnnjax.runs.writer import RECORDS
from rnnjax.runtime.blas import one_blas_thread
from rnnjax.runtime.progress import ProgressView
from rnnjax.runtime.signals import SignalHandler
from rnnjax.sharding.devices import choose_layout, is_first_process
from rnnjax.training.checkpointing import CheckpointPolicy, RestoredProgress, TrainProgress
from rnnjax.training.diagnose_run import diagnosis_record
from rnnjax.training.ensemble import Ensemble, ensembles, plan_ensembles
from rnnjax.training.finalize import finalize
from rnnjax.training.run_spec import RunSpec
from rnnjax.training.run_state import RunState, outcome
from rnnjax.training.setup import EnsembleSetup, select_member, set_up_ensemble
from rnnjax.training.step.losses import LOSSES
from rnnjax.training.step.train_step import STATE
from rnnjax.training.train_loop import train


class TrainingDivergedError(UserError):
    """A loss or a gradient is not a finite number."""


def run_study(folder: Path, trials: Sequence[RunSpec], execution: Execution, view: ProgressView) -> None:
    """Train every trial and write its folder; what has ended already is passed over.

    Args:
        folder: of the run.
        trials: of the study, or of one machine's part of it.
        execution: where, and how safely.
        view: where progress is shown.

    Raises:
        TrainingDivergedError: after all others have been trained, if a loss or gradient was not finite.
        StoppedError: a signal has come; what is needed to go on is on disk.
        UserError: too little memory or disk.
    """

    def ended(some: Sequence[RunSpec]) -> bool:
        return bool(broadcast_from_first(all(outcome(folder / "members" / trial.name) is not None for trial in some)))

    with signal_handling() as signals, one_blas_thread():
        for some in plan_ensembles(trials):
            if ended(some):
                continue
            with first_process_first(), _enough_memory(some[0].label):
                found = ensembles(some)
            for group in (group for group in found if not ended(group.trials)):
                try:
                    with _enough_memory(group.title):
                        _run_group(folder, group, execution, view, signals)
                except OSError as error:
                    raise UserError(
                        f"The run folder {folder} cannot be written ({error.strerror or error}); mend that and go on "
                        "with --resume."
                    ) from error
    if not is_first_process():
        return
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    failures = filter(None, (outcome(folder / "members" / trial.name) for trial in trials))
    if message := " ".join(failures):
        raise TrainingDivergedError(message)


@contextlib.contextmanager
def _enough_memory(title: str) -> Iterator[None]:
    """UserError where the memory of a device, or of the machine, does not hold what ``title`` needs."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        of_machine = isinstance(error, MemoryError)
        if not of_machine and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise UserError(
            f"{title}: the {'machine' if of_machine else 'device'} has too little memory; give fewer "
            f"{'--steps or ' if of_machine else ''}--seeds at once, a smaller --batch-size, --features or sequence."
        ) from None


def _run_group(folder: Path, group: Ensemble, execution: Execution, view: ProgressView, signals: SignalHandler) -> None:
    view.start(f"{group.title}: compiling", total=1)
    prepared = set_up_ensemble(group, choose_layout(execution, len(group.trials), group.settings.batch_size))
    with contextlib.ExitStack() as stack:
        store = None
        if is_first_process():
            place = folder / "checkpoints" / group.trials[0].name
            store = stack.enter_context(CheckpointStore(place, keep=execution.keep_checkpoints, warn=view.line))
        endurance = CheckpointPolicy(store, execution, prepared, signals)
        saved = endurance.restore()
        members = [_begin(folder, prepared, i, saved) for i in range(len(group.trials))]
        for member in members:
            stack.callback(member.writer.close)
        if saved is None:
            begun = TrainProgress(0, prepared.layout.put(STATE, prepared.fresh), 0.0)
        else:
            begun = saved.progressed
            view.line(f"{group.title}: going on from step {begun.step}")
        view.start(group.title, total=prepared.steps)
        with signals.deferred():
            done = train(prepared, members, begun, endurance=endurance, progress=view.update)
            if endurance.due(done.step):
                endurance.save(done, members)
        endurance.wait()
        finalize(prepared, members, done, view)
        if store is not None:
            store.discard()


def _begin(folder: Path, prepared: EnsembleSetup, i: int, saved: RestoredProgress | None) -> RunState:
    """Member i at its beginning, or as it was at a checkpoint."""
    trial, dataset, params = (
        prepared.group.trials[i],
        prepared.group.datasets[i],
        select_member(prepared.fresh.params, i),
    )
    told = saved.told[i] if saved else None
    if told and not is_first_process():
        told = told | {"bytes": dict.fromkeys(RECORDS, 0)}
    member = RunState(trial, folder / "members" / trial.name, told, objective=dataset.objective)
    about = {
        "label": trial.label,
        "cell": type(trial.cell).__name__.lower(),
        "seed": trial.seed,
        "varied": dict(trial.varied),
        "parameters": sum(a.size for a in jax.tree.leaves(params)),
        "steps": prepared.steps,
        "baseline": dataset.baseline,
        "clip": trial.settings.clip if trial.settings.clip_by == "norm" else 0.0,
    }
    write_json(member.folder / "member.json", about)
    if not (folder / "task.json").exists():
        kind = {
            "objective": dataset.objective.value,
            "classes": dataset.classes,
            "chance": dataset.chance,
            "loss": LOSSES[dataset.objective],
        }
        write_json(folder / "task.json", {**trial.report_metadata, **kind})
    if dataset.vocabulary and not (folder / "vocabulary.json").exists():
        write_json(folder / "vocabulary.json", list(dataset.vocabulary))
    if saved is None:
        write_json(member.folder / "diagnosis-start.json", diagnosis_record(prepared.programs, dataset, params, step=0))
    elif member.best:
        member.keep(select_member(saved.params, i))
    return member
