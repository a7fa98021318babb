"""Shared by tests of a carried state: one sequence of random characters, read as 3 streams of windows."""

import numpy as np

import rnnjax
from rnnjax.config.training import TrainingSettings
from rnnjax.data.files.language_model import character_dataset

WINDOW, STREAMS = 5, 3
TEXT = "".join(np.random.default_rng(0).choice(list("abcde "), size=430))
DATASET = character_dataset(TEXT, window=WINDOW, validation_fraction=0.25, test_fraction=0.4)
SETTINGS = TrainingSettings(
    epochs=2, batch_size=STREAMS, learning_rate=0.05, steps_per_program=4, validate_every=8, log_gradients_every=7
)
LSTM = rnnjax.LSTM(4)


def make_model(sizes, cell):
    return rnnjax.SequenceClassifier(sizes.vocabulary, 3, rnnjax.RNN(cell), classes=sizes.outputs, pooling="every")
