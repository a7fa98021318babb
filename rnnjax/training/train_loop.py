"""The training loop of a group of runs."""

import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np

from rnnjax.diagnostics.alarms.evidence import Origin
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.training.checkpointing import CheckpointPolicy, TrainProgress
from rnnjax.training.ensemble import pad_batch
from rnnjax.training.evaluate import evaluate
from rnnjax.training.run_state import RunState
from rnnjax.training.schedule import Segment
from rnnjax.training.setup import EnsembleSetup, select_member
from rnnjax.training.step.flat_tree import FlatTree
from rnnjax.training.step.multi_step import as_numbers
from rnnjax.training.step.train_step import Batch, TrainMetrics, TrainState


def train(
    prepared: EnsembleSetup,
    members: Sequence[RunState],
    begun: TrainProgress,
    *,
    endurance: CheckpointPolicy,
    progress: Callable[[int, float], None],
) -> TrainProgress:
    """Train to the end, and write records and the best parameters of every member.

    Everything is a function of the arguments: initial parameters and dropout of a trial's seed, the order of the
    examples of seed and epoch. A member whose loss or gradient is not finite stops there and notes why.

    Args:
        prepared: the group.
        members: one for each of its trials.
        begun: where to begin; the memory of its state is used.
        endurance: is offered a checkpoint after every segment, and asks to stop.
        progress: is told the steps that are done and their last loss, the mean over members.
    """
    layout = prepared.layout
    done, state, seconds = begun
    running: deque[tuple[Segment, TrainMetrics, FlatTree | None]] = deque()

    def record_oldest() -> None:
        segment, metrics, log = running.popleft()
        metrics, log = layout.fetch((metrics, log))
        for i, member in enumerate(members):
            if member.failure is not None:
                continue
            mine = select_member((metrics, log), i)
            failed = member.record(range(segment.step, segment.end), segment.epoch, mine[0], segment.start)
            if failed is not None:
                member.writer.write_divergence(_origin(prepared, i, segment, state, failed))
            if segment.log is not None and (failed is None or segment.log < failed):
                member.writer.append_logged_step(segment.log, segment.epoch, *mine[1].unpack())
        losses = [metrics.loss[i, segment.stop - 1] for i, member in enumerate(members) if member.failure is None]
        progress(segment.end, float(np.mean(losses)) if losses else float("nan"))

    def drain(until: int) -> None:
        while len(running) > until:
            record_oldest()

    for segment in prepared.group.segments(begun.step):
        began = time.perf_counter()
        state, metrics, log = _run(prepared, segment, state)
        done = segment.end
        running.append((segment, metrics, log))
        checkpoint = endurance.due(done)
        drain(0 if segment.validate or checkpoint else 1)  # a segment late: the device never waits for the host
        seconds += time.perf_counter() - began
        if segment.validate:
            scores = evaluate(prepared, "validation", state.params)
            better = [
                member.failure is None and member.validate(segment.end, segment.epoch, scored)
                for member, scored in zip(members, scores, strict=True)
            ]
            params = layout.fetch(state.params) if any(better) else None
            for i in np.flatnonzero(better).tolist():
                members[i].keep(select_member(params, i))
        if checkpoint:
            endurance.save(TrainProgress(done, state, seconds), members)
        if all(member.failure is not None for member in members):
            drain(0)
            break
    return TrainProgress(done, state, seconds)


def _run(
    prepared: EnsembleSetup, segment: Segment, state: TrainState
) -> tuple[TrainState, TrainMetrics, FlatTree | None]:
    """Start a segment; metrics are (M, K), those of its steps in their places; no log unless one of them is logged."""
    chunk = pad_batch(segment.chunk, prepared.batch)
    indices, weights = prepared.layout.put(ShardingRole.BATCH, (chunk.indices, chunk.weights))
    logged = -1 if segment.log is None else segment.start + segment.log - segment.step
    numbers = map(np.int32, (segment.start, segment.stop, logged))
    program = prepared.programs.train[chunk.length]
    state, metrics, log = program(prepared.knobs, prepared.examples, state, indices, weights, *numbers)
    return state, metrics, None if segment.log is None else log


def _origin(prepared: EnsembleSetup, i: int, segment: Segment, state: TrainState, step: int) -> Origin:
    """Where the first number of ``step`` that is not finite was made; member i's state has halted before it."""
    chunk, k = segment.chunk, segment.start + step - segment.step
    split, rows = prepared.group.datasets[i].train, chunk.indices[i, k]
    batch = Batch(as_numbers(split.inputs[rows]), split.lengths[rows], split.labels[rows], chunk.weights[i, k])
    halted = select_member(prepared.layout.fetch(state._replace(opt_state=())), i)
    return prepared.programs.origin(halted, batch)._replace(step=step)
