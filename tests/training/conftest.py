"""A data set and a model small enough to compile in seconds, compiled once for all tests of training."""

import dataclasses
from typing import Any, NamedTuple

import pytest

import rnnjax
from rnnjax.data.examples import Dataset
from rnnjax.data.recall import recall
from rnnjax.training.evaluation import eval_shape
from rnnjax.training.examination import examine_size
from rnnjax.training.loop import Trained, train
from rnnjax.training.optimizer import make_optimizer
from rnnjax.training.programs import DeviceExamples, Programs, build_programs, on_device
from rnnjax.training.settings import TrainingSettings
from rnnjax.training.writers import MemberWriter

# 38 training and 37 validation reviews in two buckets: every bucket of every split ends in a batch that is not full.
EDGES = (4, 7)
SETTINGS = TrainingSettings(
    epochs=2, batch_size=4, learning_rate=0.02, log_gradients_every=4, validate_every=5, steps_per_program=3
)


class Tiny(NamedTuple):
    dataset: Dataset
    examples: DeviceExamples
    model: Any
    settings: TrainingSettings
    edges: tuple[int, ...]
    programs: Programs

    def train(self, folder, *, seed=0, programs=None, progress=lambda done, loss: None, **changes) -> Trained:
        """Train into ``folder`` with some settings changed."""
        settings = dataclasses.replace(self.settings, **changes)
        with MemberWriter(folder, tensorboard=False) as writer:
            return train(
                programs or self.programs, self.dataset, self.examples, settings,
                edges=self.edges, seed=seed, label="Tiny", folder=folder, writer=writer, progress=progress,
            )  # fmt: skip


@pytest.fixture(scope="session")
def tiny():
    dataset = recall(
        min_distance=1, max_distance=6, train_examples=38, validation_examples=37, test_per_distance=3, seed=0
    )
    examples = on_device(dataset)
    cell = rnnjax.SimpleRNN(4, recurrent_dropout=0.2)
    model = rnnjax.SequenceClassifier(len(dataset.vocabulary), 3, rnnjax.RNN(cell))
    programs = build_programs(
        model,
        make_optimizer(SETTINGS, steps=20),
        examples,
        lengths=EDGES,
        train_shape=(SETTINGS.steps_per_program, SETTINGS.batch_size),
        eval_shape=eval_shape(SETTINGS),
        examine_size=examine_size(dataset),
        log_gradients=True,
    )
    return Tiny(dataset, examples, model, SETTINGS, EDGES, programs)
