"""A study: the runs of one task, trained ensemble by ensemble into one run folder."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import msgspec

from rnnjax.config.execution import Execution
from rnnjax.distributed.collectives import broadcast_from_first, first_process_first
from rnnjax.distributed.stop_agreement import signal_handler
from rnnjax.errors import TrainingDivergedError, UserError
from rnnjax.nn.description import describe_model
from rnnjax.runs.checkpoint_store import CheckpointStore
from rnnjax.runs.member_schema import MemberInfo, ModelRecord
from rnnjax.runs.reader import read_outcome
from rnnjax.runs.schema import CHECKPOINTS, RECORDS, TaskInfo, member_folder
from rnnjax.runs.writer import write_task, write_vocabulary
from rnnjax.runtime.blas import one_blas_thread
from rnnjax.runtime.malloc import configure_malloc
from rnnjax.runtime.progress import ProgressView
from rnnjax.runtime.signals import SignalHandler
from rnnjax.sharding.devices import choose_layout, is_first_process
from rnnjax.training.checkpointing import CheckpointPolicy, RestoredProgress, TrainProgress
from rnnjax.training.ensemble import Ensemble, later_tasks, load_data, load_ensembles, plan_ensembles
from rnnjax.training.finalize import finalize
from rnnjax.training.run_spec import RunSpec
from rnnjax.training.run_state import RunState
from rnnjax.training.setup import EnsembleSetup, select_member, set_up_ensemble
from rnnjax.training.step.losses import LOSSES
from rnnjax.training.step.state import STATE_ROLES
from rnnjax.training.step.train_step import RESTART_SHARE
from rnnjax.training.train_loop import train


def run_study(folder: Path, specs: Sequence[RunSpec], execution: Execution, view: ProgressView) -> None:
    """Train every run and write its folder; runs that have ended already are skipped.

    Args:
        folder: of the study.
        specs: of all runs, or of those that this machine trains.
        execution: devices and checkpoints.
        view: where progress is shown.

    Raises:
        TrainingDivergedError: after all runs were trained, if a loss or gradient of one was not finite; in all
            processes.
        StoppedError: a signal has asked to stop; all that resuming needs is on disk.
        UserError: before any run is trained, flags of one with which its data cannot be made or ordered; there is too
            little memory, or the folder cannot be written.
    """

    def ended(specs: Sequence[RunSpec]) -> bool:
        outcomes = (read_outcome(member_folder(folder, spec.name)) for spec in specs)
        return bool(broadcast_from_first(all(outcome is not None for outcome in outcomes)))

    compiled = jax.disable_jit(False)  # also where JAX_DISABLE_JIT is set: programs are compiled for their devices
    with signal_handler() as signals, one_blas_thread(), compiled:
        unfinished = [planned for planned in plan_ensembles(specs) if not ended(planned)]
        for spec in later_tasks(unfinished):  # so that none of them fails after the first has trained
            with first_process_first(), _enough_memory(spec.label):
                load_data(spec)
        for planned in unfinished:
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
    if is_first_process():
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    failures = filter(None, (read_outcome(member_folder(folder, spec.name)) for spec in specs))
    if message := broadcast_from_first(" ".join(failures)):
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
    signals.check()
    setup = set_up_ensemble(ensemble, choose_layout(execution, len(ensemble.specs), ensemble.settings.batch_size))
    configure_malloc()
    with contextlib.ExitStack() as stack:
        store = None
        if is_first_process():
            store_folder = folder / CHECKPOINTS / ensemble.specs[0].name
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
        signals.check()
        with signals.deferred():
            done = train(setup, members, initial, checkpoints=checkpoints, on_progress=view.update)
            if checkpoints.due(done.step):
                checkpoints.save(done, members)
        checkpoints.wait()
        finalize(setup, members, done, view)
        if store is not None:
            store.discard()


def _begin(folder: Path, setup: EnsembleSetup, i: int, restored: RestoredProgress | None) -> RunState:
    """Member ``i`` before its first step, or as it was at a checkpoint; writes what is known before training."""
    spec, dataset = setup.ensemble.specs[i], setup.ensemble.datasets[i]
    params = select_member(setup.initial_state.params, i)
    metadata = restored.metadata[i] if restored else None
    if metadata and not is_first_process():
        metadata = metadata | {"bytes": dict.fromkeys(RECORDS, 0)}
    member = RunState(spec, member_folder(folder, spec.name), metadata, objective=dataset.objective)
    member.writer.write_info(
        MemberInfo(
            label=spec.label,
            cell=type(spec.cell).__name__.lower(),
            seed=spec.seed,
            varied=dict(spec.varied),
            parameters=sum(a.size for a in jax.tree.leaves(params)),
            steps=setup.steps,
            baseline=dataset.baseline,
            clip=spec.settings.clip if spec.settings.clip_by == "norm" else 0.0,
            last_step_only=spec.make_model(dataset.sizes, spec.cell).last_step_only,
            chance=dataset.chance,
            label_scale=dataset.label_scale,
        )
    )
    task = TaskInfo(
        **spec.report_metadata,
        objective=dataset.objective,
        classes=dataset.classes,
        constant=dataset.chance,
        loss=LOSSES[dataset.objective],
        label_scale=msgspec.UNSET if dataset.label_scale is None else dataset.label_scale,
        restarts=RESTART_SHARE if dataset.carried else msgspec.UNSET,
    )
    write_task(folder, task)
    write_vocabulary(folder, member.folder, dataset.vocabulary)
    if description := describe_model(spec.make_model(dataset.sizes, spec.cell)):
        preprocessing = dataset.preprocessing
        member.writer.write_model(
            ModelRecord(
                model=description,
                objective=dataset.objective,
                classes=dataset.classes,
                preprocessing=preprocessing,
                features=dataset.sizes.features,
            )
        )
    if restored is not None and member.best:
        member.keep(select_member(restored.best_params, i))
    return member
