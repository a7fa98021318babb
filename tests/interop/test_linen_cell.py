"""Our cells in Flax's own recurrent modules, beside Flax's cells with the same weights, and beside ``rnnjax.RNN``."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from general_cells import Mixed
from sequences import CELLS, VARIANTS, ZONED, assert_close, make_inputs, make_params, normal_like, slow_unless
from test_linen import CELLS as PAIRS
from test_linen import OPTIONS as IMPORT_OPTIONS
from test_linen import D, H, T, weights_of

import rnnjax
from rnnjax.interop import from_linen

pytestmark = pytest.mark.slow

OPTIONS = {
    "as it is": {},
    "carry": {"return_carry": True},
    "reverse": {"reverse": True, "return_carry": True},
    "reverse, order kept": {"reverse": True, "keep_order": True},
    "ragged": {"return_carry": True, "seq_lengths": np.array([4, 1, T])},
    "ragged, reverse, order kept": {"reverse": True, "keep_order": True, "seq_lengths": np.array([4, 1, T])},
    "time major": {"time_major": True, "return_carry": True},
}


@pytest.mark.parametrize(
    ("name", "case"),
    [
        slow_unless(name == "OptimizedLSTMCell" or case == "carry", name, case)
        for name in ("SimpleCell", "OptimizedLSTMCell", "GRUCell")
        for case in OPTIONS
    ],
)
def test_what_flax_does_to_its_cells_it_does_to_ours(name, case):
    (theirs, ours), options = PAIRS[name], OPTIONS[case]
    weights = weights_of(theirs)
    _, params = from_linen(weights, **IMPORT_OPTIONS.get(name, {}))
    shape = (T, 3, D) if options.get("time_major") else (3, T, D)
    xs = normal_like(jax.ShapeDtypeStruct(shape, jnp.float32), 1)

    def answer(cell, params):
        result = nn.RNN(cell).apply({"params": params}, xs, **options)
        return result if options.get("return_carry") else (None, result)

    (expected_carry, expected), (carry, found) = (
        answer(theirs, weights),
        answer(rnnjax.LinenCell(ours), {"cell": params}),
    )
    assert_close(found, expected, 1e-6)
    if expected_carry is not None:
        assert jax.tree.structure(carry) == jax.tree.structure(expected_carry)
        assert_close(carry, expected_carry, 1e-6)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)], ids=str)
def test_any_batch_dimensions_and_a_carry_that_is_given(batch):
    theirs, ours = PAIRS["OptimizedLSTMCell"]
    weights = weights_of(theirs)
    _, params = from_linen(weights)
    xs, h, c = (normal_like(jax.ShapeDtypeStruct((*batch, *some), jnp.float32), i)
                for i, some in enumerate([(T, D), (H,), (H,)]))  # fmt: skip
    expected = nn.RNN(theirs).apply({"params": weights}, xs, initial_carry=(c, h))
    found = nn.RNN(rnnjax.LinenCell(ours)).apply({"params": {"cell": params}}, xs, initial_carry=(c, h))
    assert_close(found, expected, 1e-6)


PAIR = r"the carry must be the pair \(c, h\), in the order of Flax's cells, got "


@pytest.mark.parametrize(
    ("cell", "carry", "message"),
    [
        (rnnjax.LSTM(H), rnnjax.LSTM(H).initial_state((2,)), PAIR + r"LSTMState; give \(state.c, state.h\)"),
        (rnnjax.LSTM(H), jnp.zeros((2, H)), PAIR + r"float32 of shape \(2, 4\)"),
        (rnnjax.LSTM(H), (jnp.zeros((2, H)),), PAIR + "tuple"),
        (rnnjax.GRU(H), rnnjax.GRU(H).initial_state((2,)), "the carry must be the array h, .* GRUState; give state.h"),
        (rnnjax.GRU(H), (jnp.zeros((2, H)),) * 2, "the carry must be the array h, as in Flax's cells, got tuple"),
    ],
)
def test_a_carry_in_another_form_is_refused(cell, carry, message):
    """A ``State`` is a tuple too, in the other order: taken for Flax's pair it would be wrong in silence."""
    with pytest.raises(ValueError, match=message):
        rnnjax.LinenCell(cell).init(jax.random.key(0), carry, jnp.zeros((2, D)))


def test_parameters_of_another_shape_are_refused_also_where_a_cell_is_not_elementwise():
    module, xs = rnnjax.LinenCell(Mixed(H)), jnp.ones((2, D))
    carry = module.initialize_carry(jax.random.key(0), xs.shape)
    narrow = jax.tree.map(lambda a: a[:, :1], module.init(jax.random.key(0), carry, xs))
    with pytest.raises(ValueError, match=rf"params.* must have shape .* for Mixed\({H}\)"):
        module.apply(narrow, carry, xs)


@pytest.mark.parametrize(
    "options",
    [{}, {"param_dtype": jnp.float16}, {"dtype": jnp.float16}, {"param_dtype": jnp.float16, "dtype": jnp.float16}],
    ids=str,
)
def test_outputs_have_the_dtype_that_flax_gives(options):
    xs = jnp.ones((2, T, D), jnp.float16)
    cells = nn.LSTMCell(H, **options), rnnjax.LinenCell(rnnjax.LSTM(H, **options))
    expected, found = (jax.eval_shape(nn.RNN(cell).init_with_output, jax.random.key(0), xs)[0] for cell in cells)
    assert found.dtype == expected.dtype


@pytest.mark.parametrize(
    "name", [slow_unless(name in ("LSTM", "GRU", "SimpleRNN relu"), name) for name in CELLS | VARIANTS | ZONED]
)
def test_parameters_and_answers_are_those_of_our_own_module(x64, name):
    cell = (CELLS | VARIANTS | ZONED)[name]
    xs = make_inputs(cell, (2,)).swapaxes(0, 1)
    own, flaxs = rnnjax.RNN(cell), nn.RNN(rnnjax.LinenCell(cell), return_carry=True)
    shapes = jax.eval_shape(flaxs.init, jax.random.key(0), xs)["params"]["cell"]
    assert shapes == jax.eval_shape(own.init, jax.random.key(0), xs)["params"]
    params = {"cell": {k: v for k, v in make_params(cell, xs.shape[-1])._asdict().items() if v is not None}}
    carry, found = flaxs.apply({"params": {"cell": params}}, xs)
    final, expected = own.apply({"params": params}, xs)
    assert_close(found, expected, 1e-12)
    assert_close(carry, (final[1], final[0]) if len(final) == 2 else final[0], 1e-12)


def test_both_directions():
    theirs, ours = PAIRS["GRUCell"]
    forward, backward = weights_of(theirs)["cell"], normal_like(weights_of(theirs)["cell"], 9, 0.5)
    xs = normal_like(jax.ShapeDtypeStruct((3, T, D), jnp.float32), 1)

    def answer(cell, one, other):
        module = nn.Bidirectional(nn.RNN(cell), nn.RNN(cell.clone()))
        shapes = jax.eval_shape(module.init, jax.random.key(0), xs)["params"]
        params = dict(zip(sorted(shapes, reverse=True), ({"cell": one}, {"cell": other}), strict=True))
        assert jax.tree.structure(params) == jax.tree.structure(shapes)
        return module.apply({"params": params}, xs, seq_lengths=np.array([4, 1, T]))

    expected = answer(theirs, forward, backward)
    assert_close(answer(rnnjax.LinenCell(ours), from_linen(forward)[1], from_linen(backward)[1]), expected, 1e-6)
