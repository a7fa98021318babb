"""Models as JSON and back."""

import dataclasses
import json

import jax.numpy as jnp
import pytest

import rnnjax
from rnnjax.cells.registry import CELLS, cell_from_spec
from rnnjax.config.model import Architecture
from rnnjax.data.dataset import Sizes
from rnnjax.nn.description import describe_model, model_from_description

SPECS = [
    *CELLS,
    "simple:activation=relu,recurrent_init=identity",
    "lstm:forget_bias=0,zoneout=0.1,input_dropout=0.2",
    "gru:chrono=200,recurrent_init=orthogonal*0.9,dtype=bfloat16",
]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(),
        Architecture(layers=3, bidirectional=True, layer_norm=True, dropout=0.1),
        Architecture(pooling="attention"),
    ],
)
def test_a_model_comes_back_from_its_description(spec, architecture):
    cell = cell_from_spec(spec, 5)
    for model in (
        architecture.model(Sizes(11, 0, 1), cell, embedding=3, embedding_scale=0.5, word_dropout=0.1),
        architecture.model(Sizes(0, 2, 4), cell, every_step=True),
    ):
        assert model_from_description(json.loads(json.dumps(describe_model(model)))) == model


@pytest.mark.parametrize(
    "cell",
    [
        rnnjax.PeepholeLSTM(5, chrono=9),
        rnnjax.JANET(5, beta=0.5),
        rnnjax.IndRNN(5, activation="tanh", time_steps=40),
        rnnjax.MinGRU(5, forget_bias=2.0),
        rnnjax.MinLSTM(5),
        rnnjax.CTRNN(5, tau=50.0, sigma=0.0),
    ],
)
def test_cells_of_the_family_come_back_from_their_description(cell):
    layer = rnnjax.RNN(cell)
    assert model_from_description(json.loads(json.dumps(describe_model(layer)))) == layer


def test_a_part_of_the_users_own_has_no_description():
    @dataclasses.dataclass(frozen=True)
    class Own(rnnjax.GRU):
        pass

    for cell in (Own(3), rnnjax.GRU(3, kernel_init=lambda key, shape, dtype: jnp.zeros(shape, dtype))):
        assert describe_model(rnnjax.RNN(cell)) is None
    assert describe_model(rnnjax.RNN(rnnjax.GRU(3, param_dtype=jnp.float16))) == {
        "class": "RNN",
        "cell": {"class": "GRU", "features": 3, "param_dtype": "float16"},
    }


@pytest.mark.parametrize(
    "description",
    [
        {},
        {"class": "os.system"},
        {"class": "LSTM", "features": 3},
        {"class": "RNN"},
        {"class": "RNN", "cell": 3},
        {"class": "RNN", "cell": {"class": "LSTM", "features": 0}},
        {"class": "RNN", "cell": {"class": "LSTM", "features": 3}, "colour": "red"},
        {"class": ["RNN"]},
    ],
)
def test_what_describes_no_model_is_refused(description):
    with pytest.raises(ValueError):  # noqa: PT011
        model_from_description(description)
