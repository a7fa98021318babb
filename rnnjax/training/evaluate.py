"""Scores of a split: exact means over its examples, and accuracy by distance where examples have one."""

from typing import Any, Literal, NamedTuple

import numpy as np

from rnnjax.data.batching import Chunk, ordered_chunks
from rnnjax.data.dataset import Examples
from rnnjax.data.streams import stream_chunks
from rnnjax.runs.member_schema import AccuracyByDistance
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.training.ensemble import pad_batch, stack_chunks
from rnnjax.training.setup import EVAL_BATCH_FACTOR, EnsembleSetup


class Scores(NamedTuple):
    """Over all N examples of a split."""

    loss: float  # mean
    accuracy: float  # mean of ``correct``
    correct: np.ndarray  # (N,) 0..1, see ``objectives.score``


def evaluate(prepared: EnsembleSetup, split: Literal["validation", "test"], params: Any) -> list[Scores]:
    """Score each member on every example of ``split`` once; ``params`` are those of all members, put into place."""
    group, layout = prepared.group, prepared.layout
    parts = [getattr(dataset, split) for dataset in group.datasets]
    chunks = [_chunks(prepared, part) for part in parts]
    train, validation, *_ = group.datasets[0]
    first_row = len(train.lengths) + (len(validation.lengths) if split == "test" else 0)
    running = []
    for members in zip(*chunks, strict=True):
        chunk = pad_batch(stack_chunks(members), prepared.eval_batch)
        program = prepared.programs.evaluate[chunk.length]
        rows = layout.put(ShardingRole.BATCH, chunk.indices + np.int32(first_row))
        running.append((chunk, program(params, prepared.examples, rows, np.int32(chunk.steps))))
    losses, correct = np.zeros((2, len(parts), len(parts[0].lengths)))
    for chunk, scores in running:
        found = layout.fetch(scores)
        for member, real in enumerate(chunk.weights > 0):
            rows = chunk.indices[member][real]
            losses[member, rows], correct[member, rows] = (scored[member][real] for scored in found)
    return [Scores(float(some.mean()), float(right.mean()), right) for some, right in zip(losses, correct, strict=True)]


def _chunks(prepared: EnsembleSetup, part: Examples) -> list[Chunk]:
    lengths, edges = part.lengths, prepared.group.edges
    size, steps = EVAL_BATCH_FACTOR * prepared.group.settings.batch_size, prepared.eval_chunk
    if prepared.group.datasets[0].carried:
        return stream_chunks(len(lengths), edges[-1], batch_size=size, steps_per_chunk=steps)
    return ordered_chunks(lengths, batch_size=size, edges=edges, steps_per_chunk=steps)


def accuracy_by_distance(correct: np.ndarray, distances: np.ndarray) -> AccuracyByDistance:
    """Accuracy at each distinct distance in words, ascending."""
    values, where, count = np.unique(distances, return_inverse=True, return_counts=True)
    accuracy = np.bincount(where, weights=correct) / count
    return AccuracyByDistance(distance=values.astype(np.int64), accuracy=accuracy, count=count)
