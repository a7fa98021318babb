"""The cells of the family that are not elementwise in the layers of rnnjax and of Flax."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family_reference import FAMILY
from sequences import LENGTHS, assert_close, make_inputs, normal_like, slow_unless

import rnnjax
from rnnjax.core.unroll import unroll_with_outputs
from rnnjax.nn.recurrent import BidirectionalState

pytestmark = pytest.mark.slow

BATCH = len(LENGTHS)
NAMES = ["LayerNormLSTM", "ProjectedLSTM", "SLSTM", "LRU", "CoRNN"]


@pytest.mark.parametrize("name", [slow_unless(name in ("ProjectedLSTM", "LRU"), name) for name in NAMES])
def test_layers_are_unrolled_cells(x64, name):
    """A stack of one layer of each direction and another one on top, and its first layer in ``flax.linen.RNN``."""
    cell = FAMILY[name]
    both = rnnjax.Bidirectional(rnnjax.RNN(cell), rnnjax.RNN(cell, reverse=True))
    stack = rnnjax.Stack((both, rnnjax.RNN(cell)))
    xs, lengths = make_inputs(cell, (BATCH,)).swapaxes(0, 1), jnp.array(LENGTHS)
    in_flax = nn.RNN(rnnjax.LinenCell(cell), return_carry=True)
    variables = normal_like(jax.eval_shape(stack.init, jax.random.key(0), xs), 3, 0.3)["params"]

    @jax.jit
    def run(variables):
        def layer(params, xs, reverse=False):
            params = cell.params_from_dict(params["cell"], xs.shape[-1])
            final, _, ys = unroll_with_outputs(cell, params, xs.swapaxes(0, 1), lengths=lengths, reverse=reverse)
            return final, ys.swapaxes(0, 1)

        first = variables["layers_0"]
        forward, backward = layer(first["forward_rnn"], xs), layer(first["backward_rnn"], xs, reverse=True)
        top, ys = layer(variables["layers_1"], jnp.concatenate([forward[1], backward[1]], axis=-1))
        cells = {"params": {"cell": first["forward_rnn"]}}
        return (
            stack.apply({"params": variables}, xs, lengths=lengths),
            ((BidirectionalState(forward[0], backward[0]), top), ys),
            in_flax.apply(cells, xs, seq_lengths=jnp.maximum(lengths, 1)),  # Flax knows no empty sequence
            forward,
        )

    (final, ys), expected, (carry, of_flax), forward = run(variables)
    assert_close((final, ys), expected, 1e-13)
    assert_close(jax.tree.map(lambda a: a[1:], carry), jax.tree.map(lambda a: a[1:], forward[0]), 1e-13)
    valid = np.arange(xs.shape[1]) < np.array(LENGTHS)[:, None]
    assert_close(np.where(valid[..., None], of_flax, 0), np.where(valid[..., None], forward[1], 0), 1e-13)


@pytest.mark.parametrize("name", [slow_unless(name == "LayerNormLSTM", name) for name in NAMES])
def test_a_layer_of_nnx_is_that_of_linen(name):
    try:
        from flax import nnx
    except Exception as error:
        pytest.skip(f"flax.nnx cannot be imported here, whatever rnnjax does: {type(error).__name__}: {error}")
    cell = FAMILY[name].replace(param_dtype=jnp.float32)
    xs = normal_like(jax.ShapeDtypeStruct((2, 6, 3), jnp.float32), 1)
    layer = rnnjax.NnxRNN(cell, 3, rngs=nnx.Rngs(0))
    params = {"params": {"cell": cell.init_dict(nnx.Rngs(0).params(), 3)}}
    assert_close(layer(xs), rnnjax.RNN(cell).apply(params, xs), 1e-6)


@pytest.mark.parametrize("name", [slow_unless(name in ("SLSTM", "CoRNN"), name) for name in NAMES])
def test_a_step_of_training_in_a_classifier(name):
    """One step of gradient descent lowers the loss; every parameter has a gradient."""
    cell = FAMILY[name].replace(param_dtype=jnp.float32)
    model = rnnjax.SequenceClassifier(7, 4, rnnjax.RNN(cell), classes=3)
    tokens = np.random.default_rng(0).integers(7, size=(8, 6))
    variables = jax.jit(model.init)(jax.random.key(0), tokens)

    @jax.jit
    def loss_and_gradient(variables):
        def loss(variables):
            logits = model.apply(variables, tokens, lengths=np.full(8, 5))[1]
            return -jax.nn.log_softmax(logits)[np.arange(8), tokens[:, 0] % 3].mean()

        return jax.value_and_grad(loss)(variables)

    before, gradient = loss_and_gradient(variables)
    assert all(np.any(a != 0) for a in jax.tree.leaves(gradient))
    after, _ = loss_and_gradient(jax.tree.map(lambda a, g: a - 0.05 * g, variables, gradient))
    assert after < before
