"""The training loop of one member: one cell, one seed."""

import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.data.examples import Dataset
from rnnjax.errors import UserError
from rnnjax.training.evaluation import evaluate
from rnnjax.training.examination import examination
from rnnjax.training.programs import DeviceExamples, Programs
from rnnjax.training.records import write_bytes, write_json
from rnnjax.training.schedule import Segment, schedule
from rnnjax.training.settings import TrainingSettings
from rnnjax.training.steps import StepLog, TrainMetrics, TrainState
from rnnjax.training.writers import MemberWriter


class TrainingDivergedError(UserError):
    """A loss or a gradient is not a finite number."""


class Trained(NamedTuple):
    """What training leaves behind."""

    params: Any  # of the best validation
    best_step: int  # steps taken when it was validated
    validation_accuracy: float
    train_seconds: float  # steps alone: no compiling, no validation


def train(
    programs: Programs,
    dataset: Dataset,
    examples: DeviceExamples,
    settings: TrainingSettings,
    *,
    edges: tuple[int, ...],
    seed: int,
    label: str,
    folder: Path,
    writer: MemberWriter,
    progress: Callable[[int, float], None],
) -> Trained:
    """Train from scratch, write records and the best parameters, and return these.

    Everything is a function of the arguments: initial parameters and dropout of ``seed``, the order of the
    examples of ``seed`` and epoch. ``progress`` is told the steps that are done and their last loss.

    Raises:
        TrainingDivergedError: a loss or gradient is not finite; all records up to that step are on disk.
    """
    key_init, key_steps = jax.random.split(jax.random.key(seed))
    state = programs.init(key_init)
    write_json(folder / "diagnosis-start.json", examination(programs, dataset, examples, state.params, step=0))
    trained = Trained(None, 0, float("nan"), 0.0)
    best: tuple[float, float] | None = None
    running: deque[tuple[Segment, TrainMetrics, StepLog | None]] = deque()
    seconds = 0.0

    def stop_unless_finite(what: str, value: float, when: str) -> None:
        if not np.isfinite(value):
            raise TrainingDivergedError(
                f"{label} (seed {seed}): the {what} became {value} {when}; "
                "try a smaller --learning-rate, a smaller --clip above 0, or another initialisation."
            )

    def record_oldest() -> None:
        segment, metrics, log = running.popleft()
        rows = zip(*[values.astype(float) for values in jax.device_get(metrics)], strict=True)
        for step, (loss, accuracy, gradient_norm) in enumerate(islice(rows, segment.start, segment.stop), segment.step):
            writer.train(step, segment.epoch, loss, accuracy, gradient_norm)
            if not np.isfinite([loss, gradient_norm]).all():
                k = segment.start + step - segment.step
                batch = segment.chunk.indices[k], segment.chunk.weights[k]
                origin = programs.origin(state.params, examples, *batch)._replace(step=step)
                write_json(folder / "diverged.json", origin._asdict())
            stop_unless_finite("loss", loss, f"at step {step}")
            stop_unless_finite("gradient", gradient_norm, f"at step {step}")
        if log is not None:
            writer.log(segment.step, segment.epoch, jax.device_get(log))
        progress(segment.end, loss)

    for segment in schedule(dataset.train.lengths, settings, edges=edges, seed=seed):
        began = time.perf_counter()
        state, metrics, log = _run(programs, segment, key_steps, examples, state)
        running.append((segment, metrics, log))
        while len(running) > (0 if segment.validate else 1):
            record_oldest()  # a segment late, so that the device never waits for the host
        seconds += time.perf_counter() - began
        if not segment.validate:
            continue
        scores = evaluate(programs, dataset, examples, "validation", state.params, settings, edges)
        writer.validation(segment.end, segment.epoch, scores.loss, scores.accuracy)
        stop_unless_finite("loss", scores.loss, f"in the validation after step {segment.end - 1}")
        if best is None or (scores.accuracy, -scores.loss) > best:
            best = (scores.accuracy, -scores.loss)
            trained = Trained(jax.tree.map(jnp.copy, state.params), segment.end, scores.accuracy, 0.0)
            write_bytes(folder / "params.msgpack", flax.serialization.to_bytes(trained.params))
    return trained._replace(train_seconds=seconds)


def _run(
    programs: Programs, segment: Segment, key: jax.Array, examples: DeviceExamples, state: TrainState
) -> tuple[TrainState, TrainMetrics, StepLog | None]:
    """Start a segment; metrics are (K,), those of its steps in their places; no log unless it is logged."""
    chunk = segment.chunk
    arguments = (key, examples, state, chunk.indices, chunk.weights, np.int32(segment.start))
    if segment.log:
        return programs.log[chunk.length](*arguments)
    return *programs.train[chunk.length](*arguments, np.int32(segment.stop)), None
