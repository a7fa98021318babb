"""An ensemble of one run, small enough to compile in seconds, compiled once for all tests of training."""

import pytest
from studies import SETTINGS, Tiny, make_dataset, make_ensemble, make_spec, mesh_layout

import rnnjax
from rnnjax.training.setup import set_up_ensemble


@pytest.fixture(scope="session")
def tiny():
    cell = rnnjax.SimpleRNN(4, recurrent_dropout=0.2)
    return Tiny(set_up_ensemble(make_ensemble(make_spec(make_dataset(), cell, SETTINGS)), mesh_layout(1)))
