"""The training loop of one member: one cell, one seed."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.data.batches import Chunk, epoch_chunks
from rnnjax.data.examples import Dataset
from rnnjax.errors import UserError
from rnnjax.training.evaluation import evaluate
from rnnjax.training.programs import DeviceExamples, Programs
from rnnjax.training.records import write_bytes
from rnnjax.training.settings import TrainingSettings
from rnnjax.training.writers import MemberWriter


class TrainingDivergedError(UserError):
    """The loss is no longer a finite number."""


class Trained(NamedTuple):
    """What training leaves behind."""

    params: Any  # of the best validation
    best_step: int  # steps taken when it was validated
    validation_accuracy: float
    train_seconds: float  # steps alone: no compiling, no validation


class Segment(NamedTuple):
    """Steps start..stop-1 of a chunk that run without a word to the host; a logged one is a single step."""

    start: int
    stop: int
    log: bool
    validate: bool  # after it


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
        TrainingDivergedError: the loss is not finite; all records up to that step are on disk.
    """
    key_init, key_steps = jax.random.split(jax.random.key(seed))
    state = programs.init(key_init)
    total = settings.epochs * count_steps(dataset, settings, edges)
    best: tuple[float, float] | None = None
    trained = Trained(state.params, 0, float("nan"), 0.0)
    pending: deque[tuple[int, int, Segment, Any, Any]] = deque()
    step, seconds = 0, 0.0

    def stop_unless_finite(loss: float, when: str) -> None:
        if not np.isfinite(loss):
            raise TrainingDivergedError(
                f"{label} (seed {seed}): the loss became {loss} {when}; "
                "try a smaller --learning-rate, a smaller --clip above 0, or another initialisation."
            )

    def fetch_oldest() -> None:
        epoch, first, segment, metrics, gradients = pending.popleft()
        metrics = jax.tree.map(np.atleast_1d, jax.device_get(metrics))
        steps = range(first, first + segment.stop - segment.start)
        rows = slice(None) if segment.log else slice(segment.start, segment.stop)
        for i, *values in zip(steps, *[m[rows].astype(float) for m in metrics], strict=True):
            writer.train(i, epoch, *values)
            stop_unless_finite(values[0], f"at step {i}")
        if gradients is not None:
            writer.gradients(first, jax.device_get(gradients))
        progress(steps.stop, float(metrics.loss[rows][-1]))

    for epoch in range(settings.epochs):
        for chunk in _epoch(dataset, settings, edges, seed, epoch):
            for segment in _segments(chunk, step, total, settings):
                began = time.perf_counter()
                arguments = (key_steps, examples, state, chunk.indices, chunk.weights)
                if segment.log:
                    state, metrics, gradients = programs.log[chunk.length](*arguments, np.int32(segment.start))
                else:
                    bounds = np.int32(segment.start), np.int32(segment.stop)
                    (state, metrics), gradients = programs.train[chunk.length](*arguments, *bounds), None
                pending.append((epoch, step, segment, metrics, gradients))
                step += segment.stop - segment.start
                while len(pending) > (0 if segment.validate else 1):
                    fetch_oldest()  # a segment late, so that the device never waits for the host
                seconds += time.perf_counter() - began
                if not segment.validate:
                    continue
                scores = evaluate(programs, dataset, examples, "validation", state.params, settings, edges)
                writer.validation(step, epoch, scores.loss, scores.accuracy)
                stop_unless_finite(scores.loss, f"in the validation after step {step - 1}")
                if best is None or (scores.accuracy, -scores.loss) > best:
                    best = (scores.accuracy, -scores.loss)
                    trained = Trained(jax.tree.map(jnp.copy, state.params), step, scores.accuracy, 0.0)
                    write_bytes(folder / "params.msgpack", flax.serialization.to_bytes(trained.params))
    return trained._replace(train_seconds=seconds)


def count_steps(dataset: Dataset, settings: TrainingSettings, edges: tuple[int, ...]) -> int:
    """Steps of one epoch, the same in each."""
    return sum(chunk.steps for chunk in _epoch(dataset, settings, edges, 0, 0))


def _epoch(dataset: Dataset, settings: TrainingSettings, edges: tuple[int, ...], seed: int, epoch: int) -> list[Chunk]:
    return epoch_chunks(
        dataset.train.lengths,
        batch_size=settings.batch_size,
        edges=edges,
        steps_per_chunk=settings.steps_per_program,
        seed=seed,
        epoch=epoch,
    )


def _segments(chunk: Chunk, first: int, total: int, settings: TrainingSettings) -> Iterator[Segment]:
    """Cut a chunk whose first step is number ``first`` of ``total`` where something is due."""
    log_every, validate_every = settings.log_gradients_every, settings.validate_every
    steps_per_epoch = total // settings.epochs

    def logged(k: int) -> bool:
        return log_every > 0 and ((first + k) % log_every == 0 or first + k == total - 1)

    def validated(k: int) -> bool:  # after step k
        done = first + k + 1
        return done == total or done % (validate_every or steps_per_epoch) == 0

    start = 0
    for k in range(chunk.steps):
        if logged(k) and k > start:
            yield Segment(start, k, log=False, validate=False)
            start = k
        if logged(k) or validated(k) or k == chunk.steps - 1:
            yield Segment(start, k + 1, log=logged(k), validate=validated(k))
            start = k + 1
