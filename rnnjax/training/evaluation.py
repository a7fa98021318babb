"""Scores of a split: exact means over its examples, and accuracy by distance where examples have one."""

from typing import Any, Literal, NamedTuple

import numpy as np

from rnnjax.data.batches import ordered_chunks
from rnnjax.training.group import side_by_side
from rnnjax.training.prepared import EVAL_CHUNK, Prepared
from rnnjax.training.tasks import Role


class Scores(NamedTuple):
    """Over all N examples of a split."""

    loss: float  # mean cross-entropy in nats
    accuracy: float
    correct: np.ndarray  # (N,) 0.0 or 1.0


def evaluate(prepared: Prepared, split: Literal["validation", "test"], params: Any) -> list[Scores]:
    """Score each member on every example of ``split`` once; ``params`` are those of all members, put into place."""
    group, layout = prepared.group, prepared.layout
    parts = [getattr(dataset, split) for dataset in group.datasets]
    chunks = [
        ordered_chunks(part.lengths, batch_size=prepared.eval_batch, edges=group.edges, steps_per_chunk=EVAL_CHUNK)
        for part in parts
    ]
    train, validation, *_ = group.datasets[0]
    first_row = len(train.lengths) + (len(validation.lengths) if split == "test" else 0)
    running = []
    for members in zip(*chunks, strict=True):
        chunk = side_by_side(members)
        program = prepared.programs.evaluate[chunk.length]
        rows = layout.put(Role.BATCH, chunk.indices + np.int32(first_row))
        running.append((chunk, program(params, prepared.examples, rows, np.int32(chunk.steps))))
    losses, correct = np.zeros((2, len(parts), len(parts[0].lengths)))
    for chunk, scores in running:
        found = layout.fetch(scores)
        for member, real in enumerate(chunk.weights > 0):
            rows = chunk.indices[member][real]
            losses[member, rows], correct[member, rows] = (scored[member][real] for scored in found)
    return [Scores(float(some.mean()), float(right.mean()), right) for some, right in zip(losses, correct, strict=True)]


def accuracy_by_distance(correct: np.ndarray, distances: np.ndarray) -> dict[str, list[Any]]:
    """Accuracy at each distinct distance in words, ascending."""
    values, where, count = np.unique(distances, return_inverse=True, return_counts=True)
    accuracy = np.bincount(where, weights=correct) / count
    return {"distance": values.tolist(), "accuracy": accuracy.tolist(), "count": count.tolist()}
