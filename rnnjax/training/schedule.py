"""The order of training steps, validations and logged steps: a pure function of lengths, settings and seed."""

from collections.abc import Hashable, Iterator
from typing import NamedTuple

import numpy as np

from rnnjax.config.training import TrainingSettings
from rnnjax.data.batching import Chunk, epoch_chunks
from rnnjax.data.dataset import Dataset
from rnnjax.data.streams import stream_chunks


class Segment(NamedTuple):
    """Consecutive training steps that one call of a program takes: the batches start..stop-1 of a chunk."""

    epoch: int
    step: int  # of the run, the first one of the segment
    chunk: Chunk  # indices and weights (K, B) of one run, or (M, K, B) of an ensemble
    start: int
    stop: int
    log: int | None  # the step of the run whose gradients are logged; at most one in a segment
    validate: bool  # whether a validation follows

    @property
    def end(self) -> int:
        """Steps of the run that have been taken when the segment is over."""
        return self.step + self.stop - self.start


def total_steps(lengths: np.ndarray, settings: TrainingSettings) -> int:
    """Training steps of a whole run, for examples of these lengths (N,); the same for all seeds."""
    return settings.epochs * -(-len(lengths) // settings.batch_size)


def shape_signature(dataset: Dataset) -> Hashable:
    """What runs must have in common to train in one ensemble: the shapes of the inputs of all splits."""
    return tuple(split.inputs.shape for split in dataset.splits)


def schedule(
    lengths: np.ndarray,
    settings: TrainingSettings,
    *,
    seed: int,
    max_steps: int | None = None,
    carried: bool = False,
) -> Iterator[Segment]:
    """All segments of a run in order. A segment ends where something is due after it or its chunk ends.

    Args:
        lengths: (N,) steps in each training example.
        settings: of training.
        seed: of the order of the examples.
        max_steps: the most steps in a segment; None sets no limit.
        carried: whether the model's state is carried from batch to batch. Examples then come in the order of their
            streams, whatever the seed.
    """
    total = total_steps(lengths, settings)
    step = 0
    for epoch in range(settings.epochs):
        for chunk in _epoch_chunks(lengths, settings, seed, epoch, carried):
            yield from _cut(chunk, epoch, step, total, settings, max_steps or chunk.steps)
            step += chunk.steps


def _epoch_chunks(lengths: np.ndarray, settings: TrainingSettings, seed: int, epoch: int, carried: bool) -> list[Chunk]:
    """The chunks of one epoch in order; arguments as for ``schedule``."""
    size, steps = settings.batch_size, settings.steps_per_program
    if carried:
        return stream_chunks(len(lengths), batch_size=size, steps_per_chunk=steps)
    return epoch_chunks(
        lengths,
        batch_size=size,
        steps_per_chunk=steps,
        seed=seed,
        epoch=epoch,
        sorted_batches=settings.sorted_batches,
        curriculum=settings.curriculum if epoch == 0 else 0.0,
    )


def _cut(
    chunk: Chunk, epoch: int, first_step: int, total: int, settings: TrainingSettings, max_steps: int
) -> Iterator[Segment]:
    """The segments of a chunk that begins at ``first_step`` of ``total`` steps."""
    log_every = settings.log_gradients_every
    validate_every = settings.validate_every or total // settings.epochs

    def segment(start: int, stop: int, log: int | None, *, validate: bool = False) -> Segment:
        return Segment(epoch, first_step + start, chunk, start, stop, log, validate)

    start, logged = 0, None
    for k in range(chunk.steps):
        step = first_step + k
        last = step == total - 1
        validate = (step + 1) % validate_every == 0 or last
        if log_every > 0 and (step % log_every == 0 or last):
            if logged is not None:
                yield segment(start, k, logged)
                start = k
            logged = step
        if validate or k == chunk.steps - 1 or k + 1 - start == max_steps:
            yield segment(start, k + 1, logged, validate=validate)
            start, logged = k + 1, None
