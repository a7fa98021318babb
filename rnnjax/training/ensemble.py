"""Ensembles: runs that share compiled programs and take their training steps side by side."""

import dataclasses
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rnnjax.config.training import TrainingSettings
from rnnjax.data.batching import Chunk
from rnnjax.data.dataset import Dataset
from rnnjax.errors import UserError
from rnnjax.training.run_spec import RunSpec
from rnnjax.training.schedule import Segment, schedule, shape_signature

MAX_MEMBERS = 32  # of an ensemble; more need more memory and are not faster
MAX_MEMBER_STEPS = 64  # members times steps in one call of a program, so that a signal is handled soon


class Ensemble(NamedTuple):
    """M runs that train together. They differ in seed, in ``TracedHParams`` and in how their cells are initialised."""

    specs: tuple[RunSpec, ...]  # of the M members
    datasets: tuple[Dataset, ...]  # of the M members, of equal shapes

    @property
    def settings(self) -> TrainingSettings:
        """Settings of the first member; all but the traced hyperparameters are common to all members."""
        return self.specs[0].settings

    @property
    def share_data(self) -> bool:
        """Whether all members train on the same data set."""
        return all(dataset is self.datasets[0] for dataset in self.datasets)

    @property
    def longest(self) -> int:
        """Steps of the longest example of all members."""
        return max(int(split.lengths.max()) for dataset in self.datasets for split in dataset.splits)

    @property
    def is_ragged(self) -> bool:
        """Whether any example is shorter than the longest."""
        return any((split.lengths < self.longest).any() for dataset in self.datasets for split in dataset.splits)

    @property
    def title(self) -> str:
        """Label and seeds, or the number of runs, for progress lines."""
        labels = {spec.label for spec in self.specs}
        seeds = [spec.seed for spec in self.specs]
        if len(labels) > 1:
            return f"{self.specs[0].label} and {len(seeds) - 1} more"
        return f"{self.specs[0].label}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"

    def segments(self, start: int = 0) -> Iterator[Segment]:
        """The segments from step ``start`` on, where a segment begins; indices and weights are (M, K, B)."""
        max_steps = max(1, MAX_MEMBER_STEPS // len(self.specs))
        schedules = [
            schedule(
                dataset.train.lengths,
                self.settings,
                seed=spec.seed,
                max_steps=max_steps,
                carried=dataset.carried,
            )
            for spec, dataset in zip(self.specs, self.datasets, strict=True)
        ]
        for segments in zip(*schedules, strict=True):
            if segments[0].step >= start:
                yield segments[0]._replace(chunk=stack_chunks([segment.chunk for segment in segments]))


def stack_chunks(chunks: Sequence[Chunk]) -> Chunk:
    """Chunks of M members, equal in kind, as one: indices and weights are (M, K, B)."""
    indices, weights = (np.stack([getattr(chunk, name) for chunk in chunks]) for name in ("indices", "weights"))
    return chunks[0]._replace(indices=indices, weights=weights)


def pad_batch(chunk: Chunk, batch_size: int) -> Chunk:
    """``chunk`` with its batches padded to ``batch_size`` examples; the added ones have weight 0."""
    padding = [(0, 0)] * (chunk.indices.ndim - 1) + [(0, batch_size - chunk.indices.shape[-1])]
    indices, weights = np.pad(chunk.indices, padding, mode="edge"), np.pad(chunk.weights, padding)
    return chunk._replace(indices=indices, weights=weights)


def plan_ensembles(specs: Sequence[RunSpec]) -> list[tuple[RunSpec, ...]]:
    """Group runs that can share programs, without loading their data.

    Ensembles come in the order of their first run; none has more than ``MAX_MEMBERS``.
    """
    groups: dict[Hashable, list[RunSpec]] = {}
    for spec in specs:
        groups.setdefault((spec.task, spec.cell.uninitialised(), _static_settings(spec.settings)), []).append(spec)
    return [tuple(group[i : i + MAX_MEMBERS]) for group in groups.values() for i in range(0, len(group), MAX_MEMBERS)]


def later_tasks(planned: Sequence[tuple[RunSpec, ...]]) -> list[RunSpec]:
    """A run of each task that loading the first planned ensemble does not check, that with the strictest curriculum."""
    known = {(spec.task, spec.settings.curriculum) for spec in planned[0]} if planned else set()
    chosen: dict[Hashable, RunSpec] = {}
    for spec in (spec for specs in planned[1:] for spec in specs):
        if (spec.task, spec.settings.curriculum) not in known:
            chosen[spec.task] = max(chosen.get(spec.task, spec), spec, key=lambda run: run.settings.curriculum)
    return list(chosen.values())


def load_data(spec: RunSpec) -> Dataset:
    """The data of a run.

    Raises:
        UserError: the data cannot be made, or there is a curriculum, but all examples are equally long.
    """
    dataset = spec.make_dataset()
    lengths = dataset.train.lengths
    if spec.settings.curriculum > 0 and len(np.unique(lengths)) == 1:
        raise UserError(
            f"--curriculum {spec.settings.curriculum} has nothing to order, since all sequences are {lengths[0]} steps "
            "long; leave it out, or use sequences of different lengths."
        )
    return dataset


def load_ensembles(specs: tuple[RunSpec, ...]) -> list[Ensemble]:
    """Load the data of one planned ensemble; several ensembles result where members' arrays differ in shape."""
    datasets = [load_data(spec) for spec in specs]
    members: dict[Hashable, list[int]] = {}  # shapes -> positions in specs
    for i, dataset in enumerate(datasets):
        members.setdefault(shape_signature(dataset), []).append(i)
    return [
        Ensemble(tuple(specs[i] for i in indices), tuple(datasets[i] for i in indices)) for indices in members.values()
    ]


def _static_settings(settings: TrainingSettings) -> TrainingSettings:
    """The settings that programs depend on: numbers in ``TracedHParams`` are reduced to whether they are above 0."""
    clip, omega, flossing = (float(number > 0) for number in (settings.clip, settings.omega, settings.flossing))
    return dataclasses.replace(
        settings, learning_rate=1.0, clip=clip, omega=omega, flossing=flossing, seed=0, seeds=1, tensorboard=False
    )
