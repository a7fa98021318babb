"""Studies small enough for a test: run specs, ensembles of them, and training without a command line."""

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
from rnnjax.training.step.state import STATE_ROLES, traced_hparams
from rnnjax.training.train_loop import train

SETTINGS = TrainingSettings(
    epochs=2, batch_size=4, learning_rate=0.02, log_gradients_every=4, validate_every=5, steps_per_program=3
)


def make_dataset(seed=0):
    """38 training and 37 validation reviews of 2 to 7 words; one batch of either is not full."""
    return recall(
        min_distance=1, max_distance=6, train_examples=38, validation_examples=37, test_per_distance=3, seed=seed
    )


class Wide(rnnjax.SequenceClassifier):
    """With all parameters in double precision, not only those of the cell."""

    def init(self, *arguments):
        return jax.tree.map(lambda a: a.astype(np.float64), super().init(*arguments))


def make_model(sizes, cell):
    model = Wide if cell.param_dtype == np.float64 else rnnjax.SequenceClassifier
    return model(sizes.vocabulary, 3, rnnjax.RNN(cell))


def make_spec(dataset, cell, settings=SETTINGS, *, seed=0, label="Tiny"):
    return RunSpec(label, seed, cell, settings, "tiny", make_model, lambda: dataset)


def make_ensemble(*specs):
    return Ensemble(specs, tuple(spec.make_dataset() for spec in specs))


def mesh_layout(members, *, member=1, data=1, model=1, together="map"):
    devices = np.array(jax.devices()[: member * data * model]).reshape(member, data, model)
    return MeshLayout(members, Mesh(devices, ("member", "data", "model"), axis_types=(AxisType.Auto,) * 3), together)


def pmap_layout(members, count, together="map"):
    return PmapLayout(members, tuple(jax.devices()[:count]), together)


def run(setup, folder, *, progress=lambda done, loss: None):
    """Train an ensemble into ``folder``/<name of each run>: (members, final progress)."""
    objective = setup.ensemble.datasets[0].objective
    members = [RunState(spec, Path(folder) / spec.name, objective=objective) for spec in setup.ensemble.specs]
    for member in members:
        member.diagnosed_at_start = True  # training alone
    checkpoints = CheckpointPolicy(None, Execution(checkpoint_minutes=0), setup, SignalHandler())
    initial = TrainProgress(0, setup.layout.put(STATE_ROLES, setup.initial_state), 0.0)
    try:
        return members, train(setup, members, initial, checkpoints=checkpoints, on_progress=progress)
    finally:
        for member in members:
            member.writer.close()


class Tiny(NamedTuple):
    """An ensemble of one run, compiled."""

    setup: EnsembleSetup

    @property
    def dataset(self):
        return self.setup.ensemble.datasets[0]

    @property
    def model(self):
        spec = self.setup.ensemble.specs[0]
        return spec.make_model(self.dataset.sizes, spec.cell)

    @property
    def programs(self):
        return self.setup.programs

    def changed(self, *, seed=0, programs=None, **settings):
        """The setup with another seed, with settings that programs do not depend on, or with other programs."""
        spec = self.setup.ensemble.specs[0]
        spec = dataclasses.replace(spec, seed=seed, settings=dataclasses.replace(spec.settings, **settings))
        key_init, key = jax.random.split(jax.random.key(seed))
        add_member_axis = partial(jax.tree.map, lambda a: np.asarray(a)[None])
        hparams = add_member_axis(traced_hparams(spec.settings, key))
        return self.setup._replace(
            ensemble=self.setup.ensemble._replace(specs=(spec,)),
            programs=programs or self.programs,
            hparams=self.setup.layout.put(ShardingRole.MEMBER, hparams),
            keys=hparams.key,
            initial_state=add_member_axis(self.programs.init[spec.cell](key_init)),
        )

    def train(self, folder, *, progress=lambda done, loss: None, **changes):
        """Train into ``folder``, changed as ``changed`` does: (member, final progress)."""
        (member,), done = run(self.changed(**changes), folder, progress=progress)
        return member, done
