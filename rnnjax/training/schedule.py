"""What happens when in a run: a pure function of the data's lengths, the settings and the seed."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from rnnjax.config.training import TrainingSettings
from rnnjax.data.batching import Chunk, epoch_chunks
from rnnjax.data.dataset import Dataset
from rnnjax.data.streams import stream_chunks


class Segment(NamedTuple):
    """Steps that run without a word to the host: batches start..stop-1 of a chunk."""

    epoch: int
    step: int  # number in the run of the first of them
    chunk: Chunk  # of one run, or of several side by side
    start: int
    stop: int
    log: int | None  # number in the run of the step whose gradients are logged, one at most
    validate: bool  # after it

    @property
    def end(self) -> int:
        """Number of steps taken when it is over."""
        return self.step + self.stop - self.start


def total_steps(
    lengths: np.ndarray, settings: TrainingSettings, edges: tuple[int, ...], *, carried: bool = False
) -> int:
    """Steps of a whole run over examples of ``lengths`` (N,), whatever the seed."""
    return settings.epochs * sum(chunk.steps for chunk in _epoch(lengths, settings, edges, 0, 0, carried))


def shape_of(dataset: Dataset, settings: TrainingSettings, edges: tuple[int, ...]) -> tuple[Any, ...]:
    """What runs must have in common to go side by side: array shapes, and the kinds of chunks in their order."""
    arrays = tuple(split.inputs.shape for split in (dataset.train, dataset.validation, dataset.test))
    scored = (Counter(np.searchsorted(edges, split.lengths).tolist()) for split in (dataset.validation, dataset.test))
    chunks = _epoch(dataset.train.lengths, settings, edges, 0, 0, dataset.carried)
    return (*arrays, *map(tuple, map(sorted, map(Counter.items, scored))), *sorted(chunk.kind for chunk in chunks))


def schedule(
    lengths: np.ndarray,
    settings: TrainingSettings,
    *,
    edges: tuple[int, ...],
    seed: int,
    most: int | None = None,
    carried: bool = False,
) -> Iterator[Segment]:
    """All segments of a run in order, cut where something is due and after ``most`` steps, if given.

    Where states are ``carried``, examples come in the order of their streams, whatever the seed.
    """
    total = total_steps(lengths, settings, edges, carried=carried)
    step = 0
    for epoch in range(settings.epochs):
        for chunk in _epoch(lengths, settings, edges, seed, epoch, carried):
            yield from _cut(chunk, epoch, step, total, settings, most or chunk.steps)
            step += chunk.steps


def _epoch(
    lengths: np.ndarray, settings: TrainingSettings, edges: tuple[int, ...], seed: int, epoch: int, carried: bool
) -> list[Chunk]:
    per_chunk = settings.steps_per_program
    if carried:
        return stream_chunks(len(lengths), edges[-1], batch_size=settings.batch_size, steps_per_chunk=per_chunk)
    return epoch_chunks(
        lengths,
        batch_size=settings.batch_size,
        edges=edges,
        steps_per_chunk=per_chunk,
        seed=seed,
        epoch=epoch,
        curriculum=settings.curriculum if epoch == 0 else 0.0,
    )


def _cut(chunk: Chunk, epoch: int, first: int, total: int, settings: TrainingSettings, most: int) -> Iterator[Segment]:
    """The segments of a chunk whose first step is number ``first`` of ``total``."""
    log_every = settings.log_gradients_every
    validate_every = settings.validate_every or total // settings.epochs

    def segment(start: int, stop: int, log: int | None, *, validate: bool = False) -> Segment:
        return Segment(epoch, first + start, chunk, start, stop, log, validate)

    start, logged = 0, None
    for k in range(chunk.steps):
        number, last = first + k, first + k == total - 1
        validate = (number + 1) % validate_every == 0 or last
        if log_every > 0 and (number % log_every == 0 or last):
            if logged is not None:
                yield segment(start, k, logged)
                start = k
            logged = number
        if validate or k == chunk.steps - 1 or k + 1 - start == most:
            yield segment(start, k + 1, logged, validate=validate)
            start, logged = k + 1, None
