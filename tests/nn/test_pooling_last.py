"""Pooling "last" of cells whose output is no part of their state: the output at the last step that a layer reads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequences import assert_close, assert_same, normal_like, slow_unless

import rnnjax
from rnnjax.nn.pooling import pooled

B, T, D = 4, 5, 2
LENGTHS = np.array([5, 0, 3, 1])
WIDE = {"param_dtype": jnp.float64}
XS = normal_like(jax.ShapeDtypeStruct((B, T, D), jnp.float32), 1)
LRU, CORNN, GRU = rnnjax.LRU(3, **WIDE), rnnjax.CoRNN(4, **WIDE), rnnjax.GRU(2, **WIDE)


def both_ways(forward, backward):
    return rnnjax.Bidirectional(rnnjax.RNN(forward), rnnjax.RNN(backward, reverse=True))


MODULES = {  # and which of the outputs come from a layer that reads backwards
    "forward": (rnnjax.RNN(LRU), [False] * 3),
    "reverse": (rnnjax.RNN(CORNN, reverse=True), [True] * 4),
    "both": (both_ways(LRU, CORNN), [False] * 3 + [True] * 4),
    "both, one with h": (both_ways(GRU, LRU), [False] * 2 + [True] * 3),
    "stack": (rnnjax.Stack((rnnjax.RNN(LRU), both_ways(LRU, GRU))), [False] * 3 + [True] * 2),
}


@pytest.mark.parametrize(
    ("name", "lengths"),
    [
        slow_unless(name == "stack" or lengths is not None, name, lengths)
        for name in MODULES
        for lengths in (None, LENGTHS)
    ],
)
def test_the_output_at_the_last_step_read_is_pooled(x64, name, lengths):
    module, backwards = MODULES[name]
    xs = XS.astype(jnp.float64)
    variables = normal_like(jax.eval_shape(module.init, jax.random.key(0), xs), 2, 0.5)
    model = rnnjax.SequenceClassifier(0, 0, module, classes=3)
    dense = normal_like(jax.eval_shape(model.init, jax.random.key(0), xs)["params"]["Dense_0"], 4)

    @jax.jit
    def run(variables):
        final, ys = module.apply(variables, xs, lengths=lengths)
        params = {"recurrent": variables["params"], "Dense_0": dense}
        read, of_xs = jax.vjp(lambda xs: model.apply({"params": params}, xs, lengths=lengths)[1], xs)
        return pooled("last", final, ys, lengths, module), ys, read, of_xs(jnp.ones_like(read))[0]

    last, ys, logits, of_xs = jax.tree.map(np.asarray, run(variables))
    ends = np.full(B, T) if lengths is None else lengths
    expected = np.stack([np.where(backwards, ys[b, 0], ys[b, end - 1]) * (end > 0) for b, end in enumerate(ends)])
    assert_close(last, expected, 1e-14)
    assert_close(logits, expected @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"]), 1e-12)
    np.testing.assert_array_equal(np.any(of_xs != 0, axis=-1), np.arange(T) < ends[:, None])


def test_a_cell_with_h_is_pooled_as_before():
    module = rnnjax.RNN(rnnjax.ProjectedLSTM(4))
    variables = module.init(jax.random.key(0), XS)
    final, ys = module.apply(variables, XS, lengths=LENGTHS)
    assert_same(pooled("last", final, ys, LENGTHS, module), final.h)


def test_a_state_that_cannot_be_read_is_refused():
    final = rnnjax.cells.LRUState(jnp.zeros((B, 3)))
    with pytest.raises(ValueError, match="reads the field h of a final state, but LRUState has none; use another"):
        pooled("last", final, jnp.zeros((B, T, 3)), None)
