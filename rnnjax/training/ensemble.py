"""Runs that share a program: which do, and the steps that they take side by side."""

import dataclasses
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnjax.config.training import TrainingSettings
from rnnjax.data.batching import Chunk, bucket_edges
from rnnjax.data.dataset import Dataset
from rnnjax.errors import UserError
from rnnjax.training.run_spec import RunSpec
from rnnjax.training.schedule import Segment, schedule, shape_of

MOST = 32  # members; more at once take memory and gain nothing
MEMBER_STEPS = 64  # steps times members without a word to the host, so that a signal is heard soon


class Ensemble(NamedTuple):
    """M runs that train together; they differ in seed, in numbers that ``Knobs`` hold, and in how a cell begins."""

    trials: tuple[RunSpec, ...]
    datasets: tuple[Dataset, ...]  # of each
    edges: tuple[int, ...]

    @property
    def settings(self) -> TrainingSettings:
        """Of the first; what matters here is common to all."""
        return self.trials[0].settings

    @property
    def share_data(self) -> bool:
        """Whether all read the same examples."""
        return all(dataset is self.datasets[0] for dataset in self.datasets)

    @property
    def title(self) -> str:
        """For a person: the label and seeds, or how many runs."""
        labels = {trial.label for trial in self.trials}
        seeds = [trial.seed for trial in self.trials]
        if len(labels) > 1:
            return f"{self.trials[0].label} and {len(seeds) - 1} more"
        return f"{self.trials[0].label}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"

    def segments(self, start: int = 0) -> Iterator[Segment]:
        """What happens when, from step ``start`` on, with the members' indices and weights as (M, K, B)."""
        most = max(1, MEMBER_STEPS // len(self.trials))
        schedules = [
            schedule(
                dataset.train.lengths,
                self.settings,
                edges=self.edges,
                seed=trial.seed,
                most=most,
                carried=dataset.carried,
            )
            for trial, dataset in zip(self.trials, self.datasets, strict=True)
        ]
        for segments in zip(*schedules, strict=True):
            if segments[0].step >= start:
                yield segments[0]._replace(chunk=stack_chunks([segment.chunk for segment in segments]))


def stack_chunks(chunks: Sequence[Chunk]) -> Chunk:
    """Chunks of one kind as one, with a leading axis for the members."""
    indices, weights = (np.stack([getattr(chunk, name) for chunk in chunks]) for name in ("indices", "weights"))
    return chunks[0]._replace(indices=indices, weights=weights)


def pad_batch(chunk: Chunk, batch_size: int) -> Chunk:
    """``chunk`` with batches of so many examples, the new ones of weight 0."""
    more = [(0, 0)] * (chunk.indices.ndim - 1) + [(0, batch_size - chunk.indices.shape[-1])]
    return chunk._replace(indices=np.pad(chunk.indices, more, mode="edge"), weights=np.pad(chunk.weights, more))


def plan_ensembles(trials: Sequence[RunSpec]) -> list[tuple[RunSpec, ...]]:
    """Trials that may share a program, in the order of the first of each; none longer than ``MOST``."""
    together: dict[Hashable, list[RunSpec]] = {}
    for trial in trials:
        together.setdefault((trial.task, trial.cell.uninitialised(), _static(trial.settings)), []).append(trial)
    return [tuple(some[i : i + MOST]) for some in together.values() for i in range(0, len(some), MOST)]


def ensembles(trials: tuple[RunSpec, ...]) -> list[Ensemble]:
    """The trials of one plan with their data; several groups where the lengths of their examples differ in kind."""
    datasets = [trial.make_dataset() for trial in trials]
    found: dict[Any, list[int]] = {}
    for i, (trial, dataset) in enumerate(zip(trials, datasets, strict=True)):
        if trial.settings.curriculum > 0 and len(np.unique(dataset.train.lengths)) == 1:
            raise UserError(
                f"--curriculum {trial.settings.curriculum} has nothing to order, since all sequences are "
                f"{dataset.train.lengths[0]} steps long; leave it out, or let their lengths differ."
            )
        lengths = np.concatenate([split.lengths for split in (dataset.train, dataset.validation, dataset.test)])
        edges = bucket_edges(lengths, trial.settings.buckets)
        found.setdefault((edges, shape_of(dataset, trial.settings, edges)), []).append(i)
    return [
        Ensemble(tuple(trials[i] for i in places), tuple(datasets[i] for i in places), edges)
        for (edges, _), places in found.items()
    ]


def _static(settings: TrainingSettings) -> TrainingSettings:
    """The settings without what ``Knobs`` hold and programs never see."""
    clip, omega, flossing = (float(number > 0) for number in (settings.clip, settings.omega, settings.flossing))
    return dataclasses.replace(
        settings, learning_rate=1.0, clip=clip, omega=omega, flossing=flossing, seed=0, seeds=1, tensorboard=False
    )
