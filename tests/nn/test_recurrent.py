"""The modules add nothing to ``unroll`` but parameters, axes and order: each is compared with unrolls by hand."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from general_cells import Mixed
from sequences import assert_close, assert_same, normal_like, slow_unless

import rnnjax
from rnnjax.cells import Params
from rnnjax.core.unroll import unroll_with_outputs
from rnnjax.nn import recurrent as modules

B, T, D, H = 3, 6, 2, 4
LENGTHS = np.array([6, 2, 4])
WIDE = {"param_dtype": jnp.float64}
SIMPLE, LSTM, GRU = (cell(H, **WIDE) for cell in (rnnjax.SimpleRNN, rnnjax.LSTM, rnnjax.GRU))


def make_xs(steps=T, features=D):
    return normal_like(jax.ShapeDtypeStruct((B, steps, features), jnp.float64), 1)


def make_params(module, xs, seed=2):
    """Every parameter away from its initial value, so that none is zero and no two layers are alike."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), xs)
    return normal_like(shapes, seed, 0.5)


def by_hand(cell, cell_params, xs, state=None, **options):
    """``unroll`` of batch-major ``xs``: (final, outputs (B, T, H))."""
    final, states = rnnjax.unroll(cell, Params(**cell_params), jnp.swapaxes(xs, 0, 1), state, **options)
    return final, jnp.swapaxes(states.h, 0, 1)


def states_of(cell, seed):
    return normal_like(cell.initial_state((B,)), seed, 0.5)


@pytest.mark.parametrize(
    ("cell", "time_major"),
    [
        slow_unless((cell, time_major) in ((LSTM, True), (GRU, False)), cell, time_major)
        for cell in (SIMPLE, LSTM, GRU)
        for time_major in (False, True)
    ],
)
def test_rnn_is_unroll(x64, cell, time_major):
    module = rnnjax.RNN(cell, reverse=True, time_major=time_major)
    xs = make_xs()
    params = make_params(module, xs)
    taps = normal_like(module.zero_taps(B, T), 4, 0.1)
    taps_by_hand = taps if time_major else jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), taps)
    options = {"lengths": LENGTHS, "state": states_of(cell, 3)}
    expected = by_hand(cell, params["params"]["cell"], xs, taps=taps_by_hand, reverse=True, **options)
    final, ys = module.apply(params, jnp.swapaxes(xs, 0, 1) if time_major else xs, taps=taps, **options)
    assert_same((final, jnp.swapaxes(ys, 0, 1) if time_major else ys), expected)


def test_two_parts_with_the_carried_state_are_the_whole(x64):
    steps = 4
    module = rnnjax.Stack([rnnjax.RNN(LSTM), rnnjax.RNN(SIMPLE)])
    xs = make_xs()
    params = make_params(module, xs)
    final, ys = module.apply(params, xs)
    middle, before = module.apply(params, xs[:, :steps])
    end, after = module.apply(params, xs[:, steps:], state=middle)
    assert_close((end, jnp.concatenate([before, after], axis=1)), (final, ys), 1e-14)


def test_bidirectional_is_two_unrolls_side_by_side(x64):
    module = rnnjax.Bidirectional(rnnjax.RNN(LSTM), rnnjax.RNN(GRU, reverse=True))
    xs = make_xs()
    params = make_params(module, xs)
    state = modules.BidirectionalState(states_of(LSTM, 3), states_of(GRU, 4))
    forward, ys_forward = by_hand(LSTM, params["params"]["forward_rnn"]["cell"], xs, state.forward, lengths=LENGTHS)
    backward, ys_backward = by_hand(
        GRU, params["params"]["backward_rnn"]["cell"], xs, state.backward, lengths=LENGTHS, reverse=True
    )
    final, ys = module.apply(params, xs, lengths=LENGTHS, state=state)
    assert_same(final, modules.BidirectionalState(forward, backward))
    assert_same(ys, jnp.concatenate([ys_forward, ys_backward], axis=-1))
    cut = 2  # the second example alone, cut to its two words: ragged lengths change nothing
    alone = jax.tree.map(lambda a: a[1:2], (xs[:, :cut], state))
    assert_close(ys[1:2, :cut], module.apply(params, alone[0], state=alone[1])[1], 1e-14)


def test_stack_is_composition(x64):
    lower = rnnjax.Bidirectional(rnnjax.RNN(SIMPLE), rnnjax.RNN(SIMPLE, reverse=True))
    upper = rnnjax.RNN(GRU)
    module = rnnjax.Stack([lower, upper], dropout=0.5)
    xs = make_xs()
    params = make_params(module, xs)["params"]
    state = (modules.BidirectionalState(states_of(SIMPLE, 3), states_of(SIMPLE, 4)), states_of(GRU, 5))
    final_lower, between = lower.apply({"params": params["layers_0"]}, xs, lengths=LENGTHS, state=state[0])
    expected = upper.apply({"params": params["layers_1"]}, between, lengths=LENGTHS, state=state[1])
    final, ys = module.apply({"params": params}, xs, lengths=LENGTHS, state=state)
    assert_same((final, ys), ((final_lower, expected[0]), expected[1]))


def wide_rnn(**options):
    return rnnjax.RNN(rnnjax.GRU(H, input_dropout=0.3, recurrent_dropout=0.4, zoneout=0.2), **options)


@pytest.mark.parametrize(
    "module",
    [
        wide_rnn(),
        pytest.param(wide_rnn(time_major=True), marks=pytest.mark.slow),
        rnnjax.Stack([wide_rnn(time_major=True), wide_rnn(time_major=True)], dropout=0.5),
        rnnjax.Stack([rnnjax.Bidirectional(wide_rnn(), wide_rnn(reverse=True)), wide_rnn()], dropout=0.5),
    ],
    ids=["RNN", "time-major RNN", "time-major Stack", "Stack of Bidirectional"],
)
def test_dropout_in_a_part_of_a_batch_is_that_of_its_rows(module):
    batch_axis = 1 if modules.is_time_major(module) else 0
    xs = np.random.default_rng(1).normal(size=(8, T, D)).astype(np.float32)
    xs = np.swapaxes(xs, 0, batch_axis)
    params = make_params(module, xs)

    @jax.jit
    def run(xs, rows=None):
        final, ys = module.apply(params, xs, train=True, rows=rows, rngs={"dropout": jax.random.key(5)})
        return final, jnp.swapaxes(ys, 0, batch_axis)

    whole = run(xs)  # no rows: they are counted
    first, second = np.split(xs, 2, batch_axis)
    assert_close(run(first, np.arange(4)), jax.tree.map(lambda a: a[:4], whole), 1e-6)
    assert_close(run(second, np.arange(4, 8)), jax.tree.map(lambda a: a[4:], whole), 1e-6)
    elsewhere = run(second, np.arange(4))[1]
    assert np.all(np.max(np.abs(elsewhere - whole[1][4:]), axis=(1, 2)) > 1e-3)


def test_layers_and_directions_draw_masks_of_their_own(monkeypatch):
    drawn = []

    def spy(cell, params, xs, state, *, dropout, **options):
        drawn.extend(dropout[:3])
        return unroll_with_outputs(cell, params, xs, state, dropout=dropout, **options)

    monkeypatch.setattr(modules, "unroll_with_outputs", spy)
    cell = rnnjax.SimpleRNN(20, input_dropout=0.5, recurrent_dropout=0.5, zoneout=0.5)
    both = rnnjax.Bidirectional(rnnjax.RNN(cell), rnnjax.RNN(cell, reverse=True))
    module = rnnjax.Stack([rnnjax.RNN(cell), rnnjax.RNN(cell), both])
    xs = np.ones((B, 1, 20), np.float32)
    params = make_params(module, xs)
    drawn.clear()
    module.apply(params, xs, train=True, rngs={"dropout": jax.random.key(5)})
    silenced_or_held = np.concatenate([np.reshape(mask, (B, 20)) != 0 for mask in drawn])
    assert len(np.unique(silenced_or_held, axis=0)) == len(silenced_or_held) == 12 * B


def test_parameters_have_these_names():
    directions = rnnjax.RNN(rnnjax.GRU(3)), rnnjax.RNN(rnnjax.GRU(4), reverse=True)
    layers = [rnnjax.RNN(rnnjax.LSTM(4)), rnnjax.Bidirectional(*directions)]
    model = rnnjax.SequenceClassifier(10, 5, rnnjax.Stack(layers), classes=2)
    params = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 1), np.int32))["params"]
    shapes = {"/".join(key.key for key in path): a.shape for path, a in jax.tree_util.tree_leaves_with_path(params)}
    assert shapes == {
        "Embed_0/embedding": (10, 5),
        "recurrent/layers_0/cell/w_x": (5, 16),
        "recurrent/layers_0/cell/w_h": (4, 16),
        "recurrent/layers_0/cell/b": (16,),
        "recurrent/layers_1/forward_rnn/cell/w_x": (4, 9),
        "recurrent/layers_1/forward_rnn/cell/w_h": (3, 9),
        "recurrent/layers_1/forward_rnn/cell/b": (9,),
        "recurrent/layers_1/forward_rnn/cell/b_h": (9,),
        "recurrent/layers_1/backward_rnn/cell/w_x": (4, 12),
        "recurrent/layers_1/backward_rnn/cell/w_h": (4, 12),
        "recurrent/layers_1/backward_rnn/cell/b": (12,),
        "recurrent/layers_1/backward_rnn/cell/b_h": (12,),
        "Dense_0/kernel": (7, 2),
        "Dense_0/bias": (2,),
    }


@pytest.mark.parametrize(("reverse_forward", "reverse_backward"), [(True, True), (False, False), (True, False)])
def test_bidirectional_wants_one_of_each_direction(reverse_forward, reverse_backward):
    with pytest.raises(ValueError, match="forward_rnn with reverse=False and backward_rnn with reverse=True"):
        rnnjax.Bidirectional(rnnjax.RNN(GRU, reverse=reverse_forward), rnnjax.RNN(GRU, reverse=reverse_backward))


def test_rnn_hands_its_options_to_unroll(monkeypatch):
    seen = {}

    def spy(cell, params, xs, state, **options):
        seen.update(options)
        return unroll_with_outputs(cell, params, xs, state, **options)

    monkeypatch.setattr(modules, "unroll_with_outputs", spy)
    module = rnnjax.RNN(rnnjax.SimpleRNN(H), reverse=True, backward="autodiff", store_every=2)
    jax.eval_shape(module.init, jax.random.key(0), np.zeros((B, T, D), np.float32))
    assert {name: seen[name] for name in ("reverse", "backward", "store_every")} == {
        "reverse": True,
        "backward": "autodiff",
        "store_every": 2,
    }


@pytest.mark.parametrize(
    ("cell", "shape"),
    [
        slow_unless(i == j, cell, shape)
        for i, cell in enumerate((nn.SimpleCell(H), nn.LSTMCell(H), nn.GRUCell(H)))
        for j, shape in enumerate(((B, T, D), (2, B, T, D), (2, 1, B, T, D)))
    ],
)
def test_batch_axes_are_those_of_flax(cell, shape):
    xs, flax_rnn = normal_like(jax.ShapeDtypeStruct(shape, jnp.float32), 1), nn.RNN(cell)
    params = make_params(flax_rnn, xs)["params"]
    options = {"activation": "tanh", "residual": False} if isinstance(cell, nn.SimpleCell) else {}
    module, converted = rnnjax.from_linen(params, **options)
    _, ys = module.apply({"params": converted}, xs)
    np.testing.assert_allclose(ys, flax_rnn.apply({"params": params}, xs), atol=1e-5)


@pytest.mark.parametrize("module", [rnnjax.RNN(LSTM), rnnjax.RNN(LSTM, reverse=True)], ids=["forward", "reverse"])
def test_several_batch_axes_are_one_in_every_argument(x64, module):
    xs = normal_like(jax.ShapeDtypeStruct((2, B, T, D), jnp.float64), 1)
    params = make_params(module, xs)
    lengths, state = np.array([[6, 2, 4], [1, 6, 3]]), normal_like(LSTM.initial_state((2, B)), 3)
    taps = normal_like(LSTM.initial_state((2, B, T)), 4, 0.1)
    final, ys = module.apply(params, xs, lengths=lengths, state=state, taps=taps)

    def flat(tree):
        return jax.tree.map(lambda a: a.reshape(2 * B, *a.shape[2:]), tree)

    expected = module.apply(params, flat(xs), lengths=flat(lengths), state=flat(state), taps=flat(taps))
    assert_same(flat((final, ys)), expected)


def test_several_batch_axes_of_rows_draw_the_masks_of_one(x64):
    module = rnnjax.Stack([rnnjax.RNN(LSTM.replace(input_dropout=0.5)), rnnjax.RNN(GRU)], dropout=0.5)
    xs = normal_like(jax.ShapeDtypeStruct((2, B, T, D), jnp.float64), 1)
    params, rows, rngs = make_params(module, xs), np.arange(2 * B), {"dropout": jax.random.key(1)}
    _, ys = module.apply(params, xs, train=True, rows=rows.reshape(2, B), rngs=rngs)
    _, expected = module.apply(params, xs.reshape(2 * B, T, D), train=True, rows=rows, rngs=rngs)
    assert_same(ys.reshape(expected.shape), expected)


DROPPING = LSTM.replace(input_dropout=0.5, recurrent_dropout=0.3, zoneout=0.2)
TRACED = {
    "Stack": rnnjax.Stack(
        (rnnjax.Bidirectional(rnnjax.RNN(DROPPING), rnnjax.RNN(DROPPING, reverse=True)), rnnjax.RNN(GRU)), dropout=0.5
    ),
    "SequenceClassifier": rnnjax.SequenceClassifier(9, 3, rnnjax.RNN(LSTM), dropout=0.5, word_dropout=0.5),
}


@pytest.mark.parametrize("name", [slow_unless(name != "Stack", name) for name in TRACED])
def test_train_may_be_traced(x64, name):
    """``nn.remat`` and ``nn.jit`` trace it. The masks of ``nn.jit`` are others, since it folds the key of its own."""
    module = TRACED[name]
    xs = np.arange(B * T).reshape(B, T) % 9 if name == "SequenceClassifier" else make_xs()
    variables, key = make_params(module, xs), jax.random.key(5)

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def run(module, train):
        return module.apply(variables, xs, train=train, rngs={"dropout": key})

    def lifted(lift):
        return lift(type(module))(**{f.name: getattr(module, f.name) for f in dataclasses.fields(module) if f.init})

    with_dropout, without = run(module, True), run(module, False)
    assert_close(run(lifted(nn.remat), True), with_dropout, 1e-12)
    for lift in (nn.remat, nn.jit):
        assert_close(run(lifted(lift), False), without, 1e-12)
    for others in (with_dropout, run(lifted(nn.jit), True)):
        assert np.any(others[1] != without[1])


def test_a_traced_train_without_random_numbers_says_what_to_do():
    module = nn.remat(rnnjax.RNN)(DROPPING.replace(param_dtype=jnp.float32))
    with pytest.raises(ValueError, match=r"^train is traced \(nn\.remat .*pass rngs=\{'dropout': key\} to apply also"):
        module.init(jax.random.key(0), np.ones((B, T, D), np.float32), train=False)


@pytest.mark.parametrize("base", [rnnjax.LSTM, Mixed])
def test_the_initialiser_of_a_cell_is_not_traced_at_each_application(base):
    calls = []

    class Counted(base):
        def init(self, key, in_features):
            calls.append(in_features)
            return super().init(key, in_features)

    module = rnnjax.RNN(Counted(H))
    variables = jax.jit(module.init)(jax.random.key(0), np.ones((B, T, D), np.float32))
    before = len(calls)
    for steps in (T, T + 1, T + 2):
        jax.jit(module.apply)(variables, np.ones((B, steps, D), np.float32))
    assert len(calls) <= before + 1
