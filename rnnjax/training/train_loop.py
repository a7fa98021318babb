"""The training loop of an ensemble."""

import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from rnnjax.diagnostics.alarms.evidence import Origin
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.training.checkpointing import CheckpointPolicy, TrainProgress
from rnnjax.training.diagnose_run import diagnose_member
from rnnjax.training.ensemble import pad_batch
from rnnjax.training.evaluate import evaluate
from rnnjax.training.run_state import RunState
from rnnjax.training.schedule import Segment
from rnnjax.training.setup import EnsembleSetup, select_member
from rnnjax.training.step.flat_tree import FlatTree
from rnnjax.training.step.multi_step import scale_bytes
from rnnjax.training.step.state import Batch, TrainMetrics, TrainState


def train(
    setup: EnsembleSetup,
    members: Sequence[RunState],
    initial: TrainProgress,
    *,
    checkpoints: CheckpointPolicy,
    on_progress: Callable[[int, float], None],
) -> TrainProgress:
    """Train to the end, and write the records and the best parameters of every member.

    The result is a function of the arguments: initial parameters and dropout depend on a member's seed, the order of
    examples on seed and epoch. A member whose loss or gradient is not finite stops there and records why.

    Args:
        setup: of the ensemble.
        members: the M runs, in the order of ``setup.ensemble.specs``.
        initial: where training begins; the memory of its state is reused.
        checkpoints: may save a checkpoint, and stop, after every segment.
        on_progress: called with the number of steps taken and their last loss, the mean over members.
    """
    layout = setup.layout
    done, state, seconds = initial
    running: deque[tuple[Segment, TrainMetrics, FlatTree | None]] = deque()

    def record_oldest() -> None:
        segment, metrics, log = running.popleft()
        metrics, log = layout.fetch((metrics, log))
        for i, member in enumerate(members):
            if member.failure is not None:
                continue
            member_metrics, member_log = select_member((metrics, log), i)
            failed = member.record(range(segment.step, segment.end), segment.epoch, member_metrics, segment.start)
            if failed is not None:
                member.writer.write_divergence(_origin(setup, i, segment, state, failed))
            if segment.log is not None and (failed is None or segment.log < failed):
                member.writer.append_logged_step(segment.log, segment.epoch, *member_log.unpack())
        losses = [metrics.loss[i, segment.stop - 1] for i, member in enumerate(members) if member.failure is None]
        on_progress(segment.end, float(np.mean(losses)) if losses else float("nan"))

    def drain(until: int) -> None:
        """Record the oldest segments until ``until`` are left."""
        while len(running) > until:
            record_oldest()

    for segment in setup.ensemble.segments(initial.step):
        began = time.perf_counter()
        state, metrics, log = _run(setup, segment, state)
        done = segment.end
        running.append((segment, metrics, log))
        checkpoint = checkpoints.due(done)
        drain(0 if segment.validate or checkpoint else 1)  # a segment late: the device never waits for the host
        seconds += time.perf_counter() - began
        if segment.validate:
            setup.programs.evaluate.compile_in_background()  # first, because the validation waits for it
            if not all(member.diagnosed_at_start for member in members):
                setup.programs.measure.compile_in_background()  # Python traces it while the validation runs
            scores = evaluate(setup, "validation", state.params)
            write_start_diagnoses(setup, members)
            better = [
                member.failure is None and member.validate(segment.end, segment.epoch, member_scores)
                for member, member_scores in zip(members, scores, strict=True)
            ]
            params = layout.fetch(state.params) if any(better) else None
            for i in np.flatnonzero(better).tolist():
                members[i].keep(select_member(params, i))
        if checkpoint:
            checkpoints.save(TrainProgress(done, state, seconds), members)
        if all(member.failure is not None for member in members):
            drain(0)
            break
    return TrainProgress(done, state, seconds)


def write_start_diagnoses(setup: EnsembleSetup, members: Sequence[RunState]) -> None:
    """Write ``diagnosis-start.json`` of every member that has none, of the parameters before the first step.

    Args:
        setup: of the ensemble.
        members: the M runs, in the order of ``setup.ensemble.specs``.
    """
    for i, member in enumerate(members):
        if not member.diagnosed_at_start:
            params = select_member(setup.initial_state.params, i)
            diagnosis = diagnose_member(setup.programs, setup.ensemble.datasets[i], params, step=0)
            member.writer.write_diagnosis("start", diagnosis)
            member.diagnosed_at_start = True


def _run(setup: EnsembleSetup, segment: Segment, state: TrainState) -> tuple[TrainState, TrainMetrics, FlatTree | None]:
    """Dispatch the steps of a segment.

    Returns:
        the state; metrics (M, K), zero outside of the segment; the log, None unless the segment has a logged step.
    """
    chunk = pad_batch(segment.chunk, setup.batch_size)
    indices, weights = setup.layout.put(ShardingRole.BATCH, (chunk.indices, chunk.weights))
    logged = -1 if segment.log is None else segment.start + segment.log - segment.step
    numbers = map(np.int32, (segment.start, segment.stop, logged))
    state, metrics, log = setup.programs.train(setup.hparams, setup.examples, state, indices, weights, *numbers)
    return state, metrics, None if segment.log is None else log


def _origin(setup: EnsembleSetup, i: int, segment: Segment, state: TrainState, step: int) -> Origin:
    """Where ``step`` of member ``i`` made the first number that is not finite; its state halted before that."""
    chunk, k = segment.chunk, segment.start + step - segment.step
    split, rows = setup.ensemble.datasets[i].train, chunk.indices[i, k]
    batch = Batch(scale_bytes(split.inputs[rows]), split.lengths[rows], split.labels[rows], chunk.weights[i, k])
    halted = select_member(setup.layout.fetch(state._replace(opt_state=())), i)
    return setup.programs.origin(halted, setup.keys[i], batch)._replace(step=step)
