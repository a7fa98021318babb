"""A study: the runs of one task, trained ensemble by ensemble into one run folder."""

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
from rnnjax.training.ensemble import Ensemble, load_ensembles, plan_ensembles
from rnnjax.training.finalize import finalize
from rnnjax.training.run_spec import RunSpec
from rnnjax.training.run_state import RunState, outcome
from rnnjax.training.setup import EnsembleSetup, select_member, set_up_ensemble
from rnnjax.training.step.losses import LOSSES
from rnnjax.training.step.state import STATE_ROLES
from rnnjax.training.train_loop import train


class TrainingDivergedError(UserError):
    """A loss or a gradient is not finite."""


def run_study(folder: Path, specs: Sequence[RunSpec], execution: Execution, view: ProgressView) -> None:
    """Train every run and write its folder; runs that have ended already are skipped.

    Args:
        folder: of the study.
        specs: of all runs, or of those that this machine trains.
        execution: devices and checkpoints.
        view: where progress is shown.

    Raises:
        TrainingDivergedError: after all runs were trained, if a loss or gradient of one was not finite.
        StoppedError: a signal has asked to stop; all that resuming needs is on disk.
        UserError: there is too little memory, or the folder cannot be written.
    """

    def ended(specs: Sequence[RunSpec]) -> bool:
        return bool(broadcast_from_first(all(outcome(folder / "members" / spec.name) is not None for spec in specs)))

    with signal_handling() as signals, one_blas_thread():
        for planned in plan_ensembles(specs):
            if ended(planned):
                continue
            with first_process_first(), _enough_memory(planned[0].label):
                ensembles = load_ensembles(planned)
            for ensemble in (ensemble for ensemble in ensembles if not ended(ensemble.specs)):
                try:
                    with _enough_memory(ensemble.title):
                        _run_ensemble(folder, ensemble, execution, view, signals)
                except OSError as error:
                    raise UserError(
                        f"The run folder {folder} cannot be written ({error.strerror or error}); fix that and continue "
                        "with --resume."
                    ) from error
    if not is_first_process():
        return
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    failures = filter(None, (outcome(folder / "members" / spec.name) for spec in specs))
    if message := " ".join(failures):
        raise TrainingDivergedError(message)


@contextlib.contextmanager
def _enough_memory(title: str) -> Iterator[None]:
    """Raise UserError where the memory of a device, or of the machine, is too small for ``title``."""
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


def _run_ensemble(
    folder: Path, ensemble: Ensemble, execution: Execution, view: ProgressView, signals: SignalHandler
) -> None:
    """Train an ensemble from the start or from its last checkpoint, and write its results."""
    view.start(f"{ensemble.title}: compiling", total=1)
    setup = set_up_ensemble(ensemble, choose_layout(execution, len(ensemble.specs), ensemble.settings.batch_size))
    with contextlib.ExitStack() as stack:
        store = None
        if is_first_process():
            store_folder = folder / "checkpoints" / ensemble.specs[0].name
            store = stack.enter_context(CheckpointStore(store_folder, keep=execution.keep_checkpoints, warn=view.line))
        checkpoints = CheckpointPolicy(store, execution, setup, signals)
        restored = checkpoints.restore()
        members = [_begin(folder, setup, i, restored) for i in range(len(ensemble.specs))]
        for member in members:
            stack.callback(member.writer.close)
        if restored is None:
            initial = TrainProgress(0, setup.layout.put(STATE_ROLES, setup.initial_state), 0.0)
        else:
            initial = restored.progress
            view.line(f"{ensemble.title}: going on from step {initial.step}")
        view.start(ensemble.title, total=setup.steps)
        with signals.deferred():
            done = train(setup, members, initial, checkpoints=checkpoints, on_progress=view.update)
            if checkpoints.due(done.step):
                checkpoints.save(done, members)
        checkpoints.wait()
        finalize(setup, members, done, view)
        if store is not None:
            store.discard()


def _begin(folder: Path, prepared: EnsembleSetup, i: int, restored: RestoredProgress | None) -> RunState:
    """Member ``i`` before its first step, or as it was at a checkpoint; writes what is known before training."""
    trial, dataset, params = (
        prepared.ensemble.specs[i],
        prepared.ensemble.datasets[i],
        select_member(prepared.initial_state.params, i),
    )
    metadata = restored.metadata[i] if restored else None
    if metadata and not is_first_process():
        metadata = metadata | {"bytes": dict.fromkeys(RECORDS, 0)}
    member = RunState(trial, folder / "members" / trial.name, metadata, objective=dataset.objective)
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
        write_json(folder / "task.json", {**trial.about, **kind})
    if dataset.vocabulary and not (folder / "vocabulary.json").exists():
        write_json(folder / "vocabulary.json", list(dataset.vocabulary))
    if restored is None:
        write_json(member.folder / "diagnosis-start.json", diagnosis_record(prepared.programs, dataset, params, step=0))
    elif member.best:
        member.keep(select_member(restored.best_params, i))
    return member
