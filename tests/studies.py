"""Studies small enough for a test: trials, the groups they form, and training without a command line."""

import dataclasses
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

import rnnjax
from rnnjax.config.execution import Execution
from rnnjax.config.training import TrainingSettings
from rnnjax.data.synthetic.recall import recall
from rnnjax.runtime.signals import SignalHandler
from rnnjax.sharding.layout import MeshLayout, PmapLayout
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.training.checkpointing import CheckpointPolicy, TrainProgress
from rnnjax.training.ensemble import Ensemble
from rnnjax.training.run_spec import RunSpec
from rnnjax.training.run_state import RunState
from rnnjax.training.setup import EnsembleSetup
from rnnjax.training.step.train_step import STATE, traced_hparams
from rnnjax.training.train_loop import train

EDGES = (4, 7)
SETTINGS = TrainingSettings(
    epochs=2, batch_size=4, learning_rate=0.02, log_gradients_every=4, validate_every=5, steps_per_program=3
)


def make_dataset(seed=0):
    """38 training and 37 validation reviews: in two buckets every one of each split ends in a batch that is not full.

    With one bucket it is the last batch of a split.
    """
    return recall(
        min_distance=1, max_distance=6, train_examples=38, validation_examples=37, test_per_distance=3, seed=seed
    )


class Wide(rnnjax.SequenceClassifier):
    """All parameters in double precision, not the cell's alone."""

    def init(self, *arguments):
        return jax.tree.map(lambda a: a.astype(np.float64), super().init(*arguments))


def make_model(sizes, cell):
    kind = Wide if cell.param_dtype == np.float64 else rnnjax.SequenceClassifier
    return kind(sizes.vocabulary, 3, rnnjax.RNN(cell))


def make_trial(dataset, cell, settings=SETTINGS, *, seed=0, label="Tiny"):
    return RunSpec(label, seed, cell, settings, "tiny", make_model, lambda: dataset)


def make_group(*trials, edges=EDGES):
    return Ensemble(trials, tuple(trial.make_dataset() for trial in trials), edges)


def mesh_layout(members, *, member=1, data=1, model=1, together="map"):
    devices = np.array(jax.devices()[: member * data * model]).reshape(member, data, model)
    return MeshLayout(members, Mesh(devices, ("member", "data", "model"), axis_types=(AxisType.Auto,) * 3), together)


def pmap_layout(members, count, together="map"):
    return PmapLayout(members, tuple(jax.devices()[:count]), together)


def run(prepared, folder, *, progress=lambda done, loss: None):
    """Train a group into ``folder``/<name of each trial>: (members, how far it came)."""
    objective = prepared.group.datasets[0].objective
    members = [RunState(trial, Path(folder) / trial.name, objective=objective) for trial in prepared.group.trials]
    endurance = CheckpointPolicy(None, Execution(checkpoint_minutes=0), prepared, SignalHandler())
    begun = TrainProgress(0, prepared.layout.put(STATE, prepared.fresh), 0.0)
    try:
        return members, train(prepared, members, begun, endurance=endurance, progress=progress)
    finally:
        for member in members:
            member.writer.close()


class Tiny(NamedTuple):
    """A group of one run that has been compiled."""

    prepared: EnsembleSetup

    @property
    def dataset(self):
        return self.prepared.group.datasets[0]

    @property
    def model(self):
        trial = self.prepared.group.trials[0]
        return trial.make_model(self.dataset.sizes, trial.cell)

    @property
    def programs(self):
        return self.prepared.programs

    def changed(self, *, seed=0, programs=None, **settings):
        """The same programs for another seed, other settings that they do not depend on, or spoilt ones."""
        trial = self.prepared.group.trials[0]
        trial = dataclasses.replace(trial, seed=seed, settings=dataclasses.replace(trial.settings, **settings))
        key_init, key = jax.random.split(jax.random.key(seed))
        lead = partial(jax.tree.map, lambda a: np.asarray(a)[None])
        knobs = lead(traced_hparams(trial.settings, key))
        return self.prepared._replace(
            group=self.prepared.group._replace(trials=(trial,)),
            programs=programs or self.programs,
            knobs=self.prepared.layout.put(ShardingRole.MEMBER, knobs),
            keys=knobs.key,
            fresh=lead(self.programs.init[trial.cell](key_init)),
        )

    def train(self, folder, *, progress=lambda done, loss: None, **changes):
        """Train into ``folder`` with some things changed: (member, how far it came)."""
        (member,), done = run(self.changed(**changes), folder, progress=progress)
        return member, done
