"""What is captured of a model is what taps and autodiff say of it, for any model that uses ``rnnjax.RNN``."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from captured_models import LENGTHS, MODELS, B, D, T, Twice
from sequences import assert_close, assert_same, normal_like, total

import rnnjax
from rnnjax.analysis.capture import backpropagate, record_calls
from rnnjax.diagnostics import flip_valid, linearise, paths

pytestmark = pytest.mark.slow


def zero_taps(model):
    return model.zero_taps(B, T) if isinstance(model, Twice) else model.recurrent.zero_taps(B, T)


SLOW = [
    ("classifier", False),
    ("classifier, stack", False),
    ("classifier, bidirectional", True),
    ("all at once, time-major", True),
    ("pooled", True),
]
CASES = [
    ("classifier, stack", True),
    ("pooled, reverse", True),
    ("all at once", False),
    ("all at once, time-major and reverse", True),
    ("twice", True),
    *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW),
]


@functools.cache
def measured(name, ragged):
    """Totals of every call from what was captured, and from taps; input gradients likewise."""
    model, lengths = MODELS[name], jnp.array(LENGTHS) if ragged else None
    xs = np.random.default_rng(0).normal(size=(B, T, D))
    taps = zero_taps(model)
    shapes = jax.eval_shape(model.init, jax.random.key(0), xs, lengths, taps)["params"]
    params = normal_like(jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, jnp.float64), shapes), 1, 0.5)

    def loss(params, batch, taps=taps):
        outputs = model.apply({"params": params}, batch, lengths, taps)
        return jax.vmap(total)(outputs) + jnp.sum(outputs**2, axis=-1)

    @jax.jit
    def run(params, xs, taps):
        d_xs, d_taps = jax.grad(lambda xs, taps: loss(params, xs, taps).sum(), (0, 1))(xs, taps)
        losses, calls, asked = backpropagate(loss, params, xs)
        totals, d_inputs = [], []
        for call, ask in zip(calls, asked, strict=True):
            steps = linearise(call.cell, call.params, call.xs, call.state, lengths=call.lengths)
            ways = paths(call.cell, call.params, steps, ask.ct_states)
            found = call.cell.make_state(ways.state[0], ways.memory), ask.d_xs
            found = flip_valid(found, call.lengths) if call.reverse else found
            totals.append(found[0] if call.time_major else jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), found[0]))
            d_inputs.append(jnp.swapaxes(found[1], 0, 1))
        return losses, loss(params, xs), calls, totals, d_taps, d_inputs, d_xs

    return jax.tree.map(np.asarray, run(params, xs, taps))


@pytest.mark.parametrize(("name", "ragged"), CASES)
def test_what_the_loss_asks_of_a_layer_leads_to_the_totals_of_its_taps(x64, name, ragged):
    losses, expected_losses, calls, totals, d_taps, _, _ = measured(name, ragged)
    assert_close(losses, expected_losses, 1e-14)
    d_taps = jax.tree.leaves(d_taps, is_leaf=lambda node: hasattr(node, "h"))  # a state for each call
    for call, found, expected in zip(calls, totals, d_taps, strict=True):
        assert_close(found, expected, 1e-10)
        np.testing.assert_array_equal(call.lengths, LENGTHS if ragged else [T] * B)
        assert all(np.any(a != 0) for a in found)


@pytest.mark.parametrize(
    ("name", "ragged"),
    [
        ("pooled, reverse", True),
        ("all at once", False),
        ("all at once, time-major and reverse", True),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW[3:]),
    ],
)
def test_the_gradient_of_a_layer_s_input_is_autodiff_s(x64, name, ragged):
    *_, (found,), expected = measured(name, ragged)
    assert_close(found, expected, 1e-12)


def test_calls_have_the_names_and_parameters_of_their_modules(x64):
    calls = measured("classifier, stack", True)[2]
    last = [call.name.rsplit("/", 1)[-1] for call in calls]
    assert last == ["forward_rnn", "backward_rnn", "layers_1", "layers_2"]
    assert [call.reverse for call in calls] == [False, True, False, False]
    assert [type(call.cell).__name__ for call in calls] == ["LSTM", "LSTM", "GRU", "SimpleRNN"]
    assert [call.xs.shape[-1] for call in calls] == [D, D, 8, 4]
    again = measured("twice", True)[2]
    assert again[0].name == again[1].name == "recurrent"
    assert_same(again[0].params, again[1].params)


LAYER = rnnjax.RNN(rnnjax.GRU(4))
XS = np.ones((B, T, D), np.float32)


def looked_into(function, loss, model=LAYER, xs=XS):
    """Trace ``function`` on a model that is a single layer; nothing is computed."""
    variables = jax.eval_shape(model.init, jax.random.key(0), xs)
    return jax.eval_shape(lambda variables, xs: function(loss, variables, xs), variables, xs)


def test_a_model_that_is_a_single_layer_and_a_dict_of_variables_will_do():
    losses, (call,), _ = looked_into(backpropagate, lambda v, xs: LAYER.apply(v, xs)[1].sum(axis=(1, 2)))
    assert losses.shape == (B,)
    assert call.name == "rnn"
    assert call.params.w_h.shape == (4, 12)


@pytest.mark.parametrize(
    ("reduce", "said"),
    [
        (
            lambda ys: ys.mean(),
            r"one number for each example, shape \(4,\), got \(\); return it before taking the mean",
        ),
        (lambda ys: ys.mean(axis=1), r"one number for each example, shape \(4,\), got \(4, 4\)"),
        (lambda ys: ys.mean(axis=(0, 2)), r"one number for each example, shape \(4,\), got \(6,\)"),
        (lambda ys: ys.mean(keepdims=True)[0, 0], r"one number for each example, shape \(4,\), got \(1,\)"),
    ],
)
def test_a_loss_of_another_shape_is_refused(reduce, said):
    for function in (record_calls, backpropagate):
        with pytest.raises(ValueError, match=said):
            looked_into(function, lambda v, xs: reduce(LAYER.apply(v, xs)[1]))


def test_a_loss_without_a_recurrent_layer_is_refused():
    with pytest.raises(ValueError, match=r"called no rnnjax\.RNN, .*; apply the model in the loss, as in model\.apply"):
        looked_into(backpropagate, lambda v, xs: xs.sum(axis=(1, 2)))


def test_batch_axes_are_made_rows():
    model, xs = rnnjax.RNN(rnnjax.GRU(4)), np.ones((B, 2, T, D), np.float32)
    losses, (call,), (gradients,) = looked_into(
        backpropagate, lambda v, xs: model.apply(v, xs)[1].sum(axis=(1, 2, 3)), model, xs
    )
    assert losses.shape == (B,)
    assert (call.xs.shape, call.lengths.shape, gradients.d_xs.shape) == ((T, 2 * B, D), (2 * B,), (T, 2 * B, D))


def test_a_layer_without_a_batch_axis_is_one_row():
    model = rnnjax.RNN(rnnjax.GRU(4), time_major=True)
    losses, (call,), _ = looked_into(backpropagate, lambda v, xs: model.apply(v, xs)[1].sum()[None], model, XS[0])
    assert losses.shape == (1,)
    assert call.xs.shape == (T, 1, D)
