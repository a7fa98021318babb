"""Scores of a split: exact means over its examples, and accuracy by distance where examples have one."""

from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from rnnjax.data.batches import ordered_chunks
from rnnjax.data.examples import Dataset
from rnnjax.training.programs import DeviceExamples, Programs
from rnnjax.training.settings import TrainingSettings

BATCH_FACTOR = 4  # evaluation needs no backward pass, so its batches are this much larger
STEPS_PER_CHUNK = 4


class Scores(NamedTuple):
    """Over all N examples of a split."""

    loss: float  # mean cross-entropy in nats
    accuracy: float
    correct: np.ndarray  # (N,) 0.0 or 1.0


def eval_shape(settings: TrainingSettings) -> tuple[int, int]:
    """(K, B) of evaluation's chunks."""
    return STEPS_PER_CHUNK, BATCH_FACTOR * settings.batch_size


def evaluate(
    programs: Programs,
    dataset: Dataset,
    examples: DeviceExamples,
    split: Literal["validation", "test"],
    params: Any,
    settings: TrainingSettings,
    edges: tuple[int, ...],
) -> Scores:
    """Score ``params`` on every example of ``split`` once."""
    lengths = getattr(dataset, split).lengths
    first_row = len(dataset.train.lengths) + (len(dataset.validation.lengths) if split == "test" else 0)
    steps, batch_size = eval_shape(settings)
    chunks = ordered_chunks(lengths, batch_size=batch_size, edges=edges, steps_per_chunk=steps)
    results = [
        programs.evaluate[c.length](params, examples, c.indices + np.int32(first_row), np.int32(c.steps))
        for c in chunks
    ]
    losses, correct = np.zeros(len(lengths)), np.zeros(len(lengths))
    for chunk, scores in zip(chunks, jax.device_get(results), strict=True):
        real = chunk.weights > 0
        losses[chunk.indices[real]], correct[chunk.indices[real]] = (s[real] for s in scores)
    return Scores(float(losses.mean()), float(correct.mean()), correct)


def accuracy_by_distance(correct: np.ndarray, distances: np.ndarray) -> dict[str, list[Any]]:
    """Accuracy at each distinct distance in words, ascending."""
    values, where, count = np.unique(distances, return_inverse=True, return_counts=True)
    accuracy = np.bincount(where, weights=correct) / count
    return {"distance": values.tolist(), "accuracy": accuracy.tolist(), "count": count.tolist()}
