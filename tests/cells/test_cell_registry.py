"""Cells as flags write them: what is allowed, and one sentence about what is not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax.cells.registry import cell_from_spec, label_of, slug_of
from rnnjax.errors import UserError

PARSED = {
    "simple": rnnjax.SimpleRNN(4),
    "lstm": rnnjax.LSTM(4),
    " gru ": rnnjax.GRU(4),
    "GRU": rnnjax.GRU(4),
    "lstm:": rnnjax.LSTM(4),
    "simple:activation=relu": rnnjax.SimpleRNN(4, activation="relu"),
    "lstm:chrono=200": rnnjax.LSTM(4, chrono=200),
    "gru:forget_bias=-1.5": rnnjax.GRU(4, forget_bias=-1.5),
    "lstm:input_dropout=0.2": rnnjax.LSTM(4, input_dropout=0.2),
    "gru:recurrent_dropout=0.25": rnnjax.GRU(4, recurrent_dropout=0.25),
    "simple:zoneout=0.1": rnnjax.SimpleRNN(4, zoneout=0.1),
    "simple:recurrent_init=identity": rnnjax.SimpleRNN(4, recurrent_init=rnnjax.Identity()),
    "gru:kernel_init=glorot": rnnjax.GRU(4),
    "gru:kernel_init=orthogonal*2": rnnjax.GRU(4, kernel_init=rnnjax.Orthogonal(2.0)),
    "lstm:chrono=none,dtype=none": rnnjax.LSTM(4),
    "simple:recurrent_init=orthogonal*0.9": rnnjax.SimpleRNN(4, recurrent_init=rnnjax.Orthogonal(0.9)),
    "simple:kernel_init=normal*0.01,recurrent_init=sparse": rnnjax.SimpleRNN(
        4, kernel_init=rnnjax.Normal(0.01), recurrent_init=rnnjax.Sparse()
    ),
    "lstm:dtype=bfloat16": rnnjax.LSTM(4, dtype=jnp.bfloat16),
    "lstm:forget_bias=0,zoneout=0.5,dtype=float32": rnnjax.LSTM(4, forget_bias=0.0, zoneout=0.5, dtype=jnp.float32),
}


@pytest.mark.parametrize("spec", PARSED)
def test_a_spec_gives_the_cell_it_describes(spec):
    cell = cell_from_spec(spec, 4)
    assert cell == PARSED[spec]
    assert cell != PARSED[spec].replace(features=5)


def test_equal_specs_are_one_static_argument_of_jit():
    traced = []

    def step(cell, x):
        traced.append(cell)
        return x * cell.features

    compiled = jax.jit(step, static_argnums=0)
    for spec in ("gru:chrono=9,recurrent_init=orthogonal*0.5", "gru:recurrent_init=orthogonal*0.5,chrono=9"):
        compiled(cell_from_spec(spec, 4), 1.0)
    assert len(traced) == 1
    compiled(cell_from_spec("gru:chrono=9", 4), 1.0)
    assert len(traced) == 2


def test_parameters_in_bfloat16_are_the_rounded_ones():
    """Orthogonal kernels too, though there is no QR decomposition in bfloat16."""
    narrow, wide = (
        rnnjax.SimpleRNN(4, param_dtype=dtype).init(jax.random.key(0), 3) for dtype in (jnp.bfloat16, jnp.float32)
    )
    assert all(a.dtype == jnp.bfloat16 for a in jax.tree.leaves(narrow))
    np.testing.assert_array_equal(narrow.w_h, wide.w_h.astype(jnp.bfloat16))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("lstn", r"There is no cell 'lstn'; choose from simple, lstm, gru.*, or name a class in a file of your own"),
        ("lstn:chrono=9", r"There is no cell 'lstn'; choose from simple, lstm, gru"),
        ("", r"There is no cell ''; choose from simple, lstm, gru"),
        (":chrono=9", r"There is no cell ''; choose from "),
        ("lstm:chronos=9", r"'lstm' has no option 'chronos'; it has chrono, dtype, forget_bias, input_dropout, "),
        ("lstm:activation=relu", r"'lstm' has no option 'activation'; it has chrono, "),
        ("simple:chrono=9", r"'simple' has no option 'chrono'; it has activation, dtype, "),
        ("simple:features=9", r"'simple' has no option 'features'; it has activation, "),
        ("lstm:9", r"'lstm' has no option '9'; it has chrono, .*, as in lstm:option=value\."),
        ("simple:activation=sine", r"activation must be tanh or relu, but 'sine' was given\."),
        ("lstm:chrono", r"chrono must be a whole number, or none, but '' was given\."),
        ("lstm:chrono=2", r"In 'lstm:chrono=2', chrono must be at least 3 steps, got 2\."),
        ("gru:chrono=9.5", r"chrono must be a whole number, or none, but '9\.5' was given\."),
        ("gru:forget_bias=much", r"forget_bias must be a number, but 'much' was given\."),
        ("lstm:input_dropout=1", r"^In 'lstm:input_dropout=1', input_dropout must be at least 0 and below 1, got 1"),
        ("lstm:recurrent_dropout=-0.1", r"recurrent_dropout must be at least 0 and below 1, got -0\.1\."),
        ("lstm:zoneout=1", r"zoneout must be at least 0 and below 1, got 1\.0\."),
        (
            "simple:recurrent_init=zeros",
            r"recurrent_init must be glorot, or orthogonal, identity, normal or sparse, each ",
        ),
        ("simple:recurrent_init=identity*x", r"recurrent_init must be glorot, .* 'identity\*x' was given"),
        ("simple:kernel_init=glorot*2", r"kernel_init must be glorot, .* 'glorot\*2' was given"),
        ("lstm:forget_bias=nan", r"forget_bias must be a number, but 'nan' was given\."),
        ("lstm:chrono=200,chrono=300", r"chrono is given twice; give it once\."),
        ("lstm:chrono=200,forget_bias=3", r"chrono replaces forget_bias; give one of the two\."),
        ("lstm:dtype=int8", r"dtype must be float32 or bfloat16, or none, but 'int8' was given\."),
        ("lstm:param_dtype=bfloat16", r"'lstm' has no option 'param_dtype'; it has chrono, dtype, "),
        ("indrnn:recurrent_init=identity", r"'indrnn' has no option 'recurrent_init'; it has activation, "),
        ("mingru:recurrent_dropout=0.1", r"'mingru' has no option 'recurrent_dropout'; it has chrono, "),
        ("lstm:chrono=" + "9" * 30, r"chrono must be at most 2147483647 steps, got 9"),
    ],
)
def test_a_wrong_spec_is_one_sentence_that_says_what_is_allowed(spec, said):
    with pytest.raises(UserError, match=said) as caught:
        cell_from_spec(spec, 4)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "label", "slug"),
    [
        ("lstm", "LSTM", "lstm"),
        (" SIMPLE:", "SimpleRNN", "simplernn"),
        ("gru:chrono=200", "GRU chrono=200", "gru-chrono-200"),
        ("lstm:zoneout=0.1", "LSTM zoneout=0.1", "lstm-zoneout-0.1"),
        ("lstm:forget_bias=1", "LSTM forget_bias=1", "lstm-forget-bias-1"),
        ("lstm:forget_bias=-1", "LSTM forget_bias=-1", "lstm-forget-bias--1"),
        (
            "simple:activation=relu,recurrent_init=orthogonal*0.9",
            "SimpleRNN activation=relu recurrent_init=orthogonal*0.9",
            "simplernn-activation-relu-recurrent-init-orthogonal-0.9",
        ),
    ],
)
def test_labels_are_read_by_people_and_slugs_are_folder_names(spec, label, slug):
    assert label_of(spec) == label
    assert slug_of(label) == slug
