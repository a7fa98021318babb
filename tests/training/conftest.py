"""A group of one run, small enough to compile in seconds, compiled once for all tests of training."""

import pytest
from studies import SETTINGS, Tiny, make_dataset, make_group, make_trial, mesh_layout

import rnnjax
from rnnjax.training.checkpoints import CheckpointStore
from rnnjax.training.prepared import prepare


@pytest.fixture(scope="session")
def tiny():
    cell = rnnjax.SimpleRNN(4, recurrent_dropout=0.2)
    return Tiny(prepare(make_group(make_trial(make_dataset(), cell, SETTINGS)), mesh_layout(1)))


@pytest.fixture
def store(tmp_path):
    """A store in ``tmp_path / "new"``, whose warnings are in ``store.said``."""
    said = []
    with CheckpointStore(tmp_path / "new", keep=2, warn=said.append) as store:
        store.said = said
        yield store
