"""Evaluation of all members on a split: exact means over its examples, and accuracy by distance."""

from typing import Literal, NamedTuple

import numpy as np

from rnnjax.data.batching import Chunk, ordered_chunks
from rnnjax.data.dataset import Dataset, Examples, Objective
from rnnjax.data.streams import stream_chunks
from rnnjax.runs.member_schema import AccuracyByDistance, RegressionErrors
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.training.ensemble import pad_batch, stack_chunks
from rnnjax.training.setup import EVAL_BATCH_FACTOR, EnsembleSetup
from rnnjax.typing import ModelParams


class Scores(NamedTuple):
    """Scores of one member over all N examples of a split."""

    loss: float  # mean
    accuracy: float  # mean of ``correct``
    correct: np.ndarray  # (N,) in 0..1, see ``losses.score``
    errors: RegressionErrors | None = None  # where labels are numbers


def evaluate(setup: EnsembleSetup, split: Literal["validation", "test"], params: ModelParams) -> list[Scores]:
    """Score each of the M members on every example of ``split`` once.

    Args:
        setup: of the ensemble.
        split: of each member's data set.
        params: of M members, on the devices.
    """
    ensemble, layout = setup.ensemble, setup.layout
    splits = [getattr(dataset, split) for dataset in ensemble.datasets]
    chunks_of_members = [_chunks(setup, examples) for examples in splits]
    train, validation, *_ = ensemble.datasets[0]
    first_row = len(train.lengths) + (len(validation.lengths) if split == "test" else 0)
    losses, correct = np.zeros((2, len(splits), len(splits[0].lengths)))  # each (M, N)
    for chunks in zip(*chunks_of_members, strict=True):
        chunk = pad_batch(stack_chunks(chunks), setup.eval_batch_size)
        rows = layout.put(ShardingRole.BATCH, chunk.indices + np.int32(first_row))
        # One call at a time: on a CPU, calls in which devices exchange arrays, and of which none needs the results of
        # another, can each get a thread for one device only, and then wait for the other for ever.
        results = setup.programs.evaluate(params, setup.examples, rows, np.int32(chunk.steps))
        chunk_losses, chunk_correct = layout.fetch(results)  # each (M, K, B)
        for i, real in enumerate(chunk.weights > 0):
            rows = chunk.indices[i][real]
            losses[i, rows], correct[i, rows] = chunk_losses[i][real], chunk_correct[i][real]
    return [
        Scores(float(a.mean()), float(b.mean()), b, _errors(dataset, examples, a))
        for dataset, examples, a, b in zip(ensemble.datasets, splits, losses, correct, strict=True)
    ]


def _errors(dataset: Dataset, examples: Examples, losses: np.ndarray) -> RegressionErrors | None:
    if dataset.objective is not Objective.NUMBER:
        return None
    return regression_errors(losses, examples.labels, 1.0 if dataset.label_scale is None else dataset.label_scale[1])


def regression_errors(squared_errors: np.ndarray, labels: np.ndarray, deviation: float) -> RegressionErrors:
    """The errors of predicted numbers in the unit of the labels before they were standardised.

    Args:
        squared_errors: (N,) of the predictions of standardised labels.
        labels: (N,) standardised.
        deviation: by which the labels were divided.
    """
    mean_squared, variance = squared_errors.mean(), labels.astype(np.float64).var()
    return RegressionErrors(
        rmse=float(deviation * np.sqrt(mean_squared)),
        mae=float(deviation * np.sqrt(squared_errors).mean()),
        r2=float(1 - mean_squared / variance) if variance > 0 else float("nan"),
    )


def _chunks(setup: EnsembleSetup, examples: Examples) -> list[Chunk]:
    """The batches of a split in order, of the size that they have without padding."""
    lengths = examples.lengths
    size, steps = EVAL_BATCH_FACTOR * setup.ensemble.settings.batch_size, setup.eval_steps_per_program
    if setup.ensemble.datasets[0].carried:
        return stream_chunks(len(lengths), batch_size=size, steps_per_chunk=steps)
    return ordered_chunks(lengths, batch_size=size, steps_per_chunk=steps)


def accuracy_by_distance(correct: np.ndarray, distances: np.ndarray) -> AccuracyByDistance:
    """Accuracy at each distinct distance in words, ascending.

    Args:
        correct: (N,) in 0..1.
        distances: (N,) integers.
    """
    values, inverse, count = np.unique(distances, return_inverse=True, return_counts=True)
    accuracy = np.bincount(inverse, weights=correct) / count
    return AccuracyByDistance(distance=values.astype(np.int64), accuracy=accuracy, count=count)
