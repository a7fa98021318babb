"""The measurements of layers of cells that are not elementwise, against taps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from general_cells import Mixed, MixedState
from sequences import assert_close
from studies import SETTINGS, make_dataset, make_ensemble, make_spec, mesh_layout

import rnnjax
from rnnjax.training.cell_measure import cell_diagnoses, measure_cells, state_names
from rnnjax.training.setup import set_up_ensemble

pytestmark = pytest.mark.slow

CELL = Mixed(3, param_dtype=jnp.float64)
LENGTHS, STEPS, WORDS = jnp.array([6, 2, 4, 1]), 6, 7
TOKENS = np.random.default_rng(0).integers(0, WORDS, (4, STEPS))
ONE, BOTH = rnnjax.RNN(CELL), rnnjax.Bidirectional(rnnjax.RNN(CELL), rnnjax.RNN(CELL, reverse=True))
RECURRENT = {
    "one layer": (ONE, ["recurrent"]),
    "both directions": (BOTH, ["recurrent/forward_rnn", "recurrent/backward_rnn"]),
    "two layers": (rnnjax.Stack((rnnjax.RNN(CELL), rnnjax.RNN(CELL))), ["recurrent/layers_0", "recurrent/layers_1"]),
}


def classifier(recurrent, pooling="last"):
    return rnnjax.SequenceClassifier(WORDS, 2, recurrent, pooling=pooling)


def losses_of(model):
    def losses(params, tokens, taps=None):
        return model.apply({"params": params}, tokens, lengths=LENGTHS, taps=taps)[1][:, 0] ** 2

    return losses


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("name", RECURRENT)
def test_norms_by_lag_are_those_of_taps(x64, name, pooling):
    """Of ragged lengths, where a step past the end holds the state."""
    recurrent, layers = RECURRENT[name]
    model = classifier(recurrent, pooling)
    params = model.init(jax.random.key(0), TOKENS)["params"]
    taps = model.zero_taps(4, STEPS)
    losses = losses_of(model)
    totals = jax.jit(jax.grad(lambda taps: losses(params, TOKENS, taps).sum()))(taps)
    measured, cells = jax.jit(lambda: measure_cells(model, losses, params, TOKENS, LENGTHS))()
    assert_close(measured, losses(params, TOKENS), 1e-12)
    assert [cell.name for cell in cells] == layers
    norms = [np.linalg.norm(a.reshape(4, STEPS, -1), axis=-1) for a in jax.tree.leaves(totals)]
    for cell, (of_c, of_z) in zip(cells, zip(norms[::2], norms[1::2], strict=True), strict=True):
        for state, of_state in zip(cell.scan.states, (of_c, of_z), strict=True):
            in_order = of_state.T[::-1] if cell.reverse else of_state.T
            counts = np.arange(STEPS)[:, None] < LENGTHS[None]
            np.testing.assert_array_equal(np.isfinite(state.norms), counts[::-1] if cell.reverse else counts)
            assert_close(np.nan_to_num(state.norms), in_order, 1e-12)
            assert (in_order > 0).sum() >= LENGTHS.sum() - (len(LENGTHS) if pooling == "last" else 0)


def test_states_that_have_no_gradient_are_left_out_and_the_memory_comes_first():
    single = Mixed(3)
    model = classifier(rnnjax.RNN(single))
    params = model.init(jax.random.key(0), TOKENS)["params"]
    _, (cell,) = measure_cells(model, losses_of(model), params, TOKENS, LENGTHS)
    assert state_names(single) == ("c", "z", "n")
    assert [layer.name for layer in cell_diagnoses(cell)] == ["recurrent, state c", "recurrent, state z"]
    assert cell.scan.left_out == ("carry[2], an integer, a truth value or a random key",)


@pytest.mark.parametrize("name", RECURRENT)
def test_the_last_output_of_a_cell_without_h_in_its_state(x64, name):
    """It is that of the last valid step, of a backward layer that of the first step."""
    recurrent = RECURRENT[name][0]
    model = classifier(recurrent)
    params = model.init(jax.random.key(0), TOKENS)["params"]
    logits = model.apply({"params": params}, TOKENS, lengths=LENGTHS)[1]
    for row, length in enumerate(LENGTHS.tolist()):
        xs = params["Embed_0"]["embedding"][TOKENS[row : row + 1, :length]]
        _, ys = recurrent.apply({"params": params["recurrent"]}, xs)
        last = jnp.concatenate([ys[0, -1, :6], ys[0, 0, 6:]])
        assert_close(logits[row], last @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"], 1e-12)


class Sealed(Mixed):
    """Its output is computed from the new state inside of a function with a derivative of its own."""

    def step(self, params, state, x_t, noise=None):
        """One step."""

        def both(x, c):
            new = 0.5 * c + x.sum(axis=-1, keepdims=True)
            return new, jnp.tanh(new)

        own = jax.custom_vjp(both)
        own.defvjp(lambda *arguments: jax.vjp(both, *arguments), lambda pull, ct: pull(ct))
        c, y = own(x_t, state.c)
        return MixedState(c, state.z, state.n), y


def test_states_that_cannot_be_measured_are_refused_before_training():
    """Also where no gradient is logged."""
    settings = dataclasses.replace(SETTINGS, log_gradients_every=0)
    ensemble = make_ensemble(make_spec(make_dataset(), Sealed(3), settings))
    with pytest.raises(ValueError, match=r"step makes new\.c of Sealed inside of jax\.custom_vjp and computes another"):
        set_up_ensemble(ensemble, mesh_layout(1))
