"""Word vectors that are looked up as far as the longest text: the same numbers, and elsewhere all derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from sequences import assert_close

import rnnjax
from rnnjax.core.skipped_padding import skipping_padding
from rnnjax.nn import embedding
from rnnjax.nn.embedding import Embed, divided_columns

pytestmark = pytest.mark.slow

STEPS = 70  # three blocks of 24 steps, two steps appended
TOKENS = np.random.default_rng(0).integers(0, 9, (3, STEPS))


def vectors_and_gradient(lengths):
    """Of a loss of the vectors of valid words, with respect to the table."""
    embed = Embed(9, 4)
    variables = embed.init(jax.random.key(0), TOKENS)
    valid = (np.arange(STEPS) < lengths[:, None])[..., None]

    def loss(variables):
        vectors = embed.apply(variables, TOKENS, jnp.array(lengths))
        return jnp.sum(jnp.sin(vectors) * valid), vectors

    gradient, vectors = jax.jit(jax.grad(loss, has_aux=True))(variables)
    return gradient, vectors


@pytest.mark.parametrize("lengths", [(20, 24, 3), (25, 1, 48), (70, 2, 5), (0, 0, 0)])
def test_valid_words_have_the_same_vectors_and_gradient(lengths):
    lengths = np.array(lengths)
    gradient, vectors = vectors_and_gradient(lengths)
    with skipping_padding(True):
        skipped_gradient, skipped = vectors_and_gradient(lengths)
    assert_close(skipped_gradient, gradient, 1e-6)
    looked_up = -(-lengths.max() // 24) * 24
    np.testing.assert_array_equal(skipped[:, :looked_up], vectors[:, :looked_up])
    assert not np.any(skipped[:, looked_up:])


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("members", [False, True])
def test_divided_columns_give_the_vectors_and_the_gradient_of_whole_ones(monkeypatch, given, members):
    """On four devices with two texts each; the loss weighs every number of every vector differently."""
    monkeypatch.setattr(embedding, "MOST_EXCHANGED_STEPS", 24)
    rng = np.random.default_rng(1)
    table, tokens = rng.normal(size=(9, 12)).astype(np.float32), rng.integers(0, 9, (8, STEPS))
    lengths = np.array([20, 24, 3, 0, 50, 2, 7, 1])
    weights = rng.normal(size=(8, STEPS, 12)) * (np.arange(STEPS) < lengths[:, None])[..., None]

    def gradient(table, tokens, lengths, weights):
        def loss(table):
            vectors = Embed(9, 12).apply({"params": {"embedding": table}}, tokens, lengths if given else None)
            return jnp.sum(jnp.sin(vectors) * weights), vectors

        return jax.grad(loss, has_aux=True)(table)

    def of_member(table, tokens, lengths, weights):
        return jax.vmap(gradient, (0, None, None, None))(table, tokens, lengths, weights)

    function = of_member if members else gradient
    table = np.stack([table, 2 * table]) if members else table
    lead = (None,) if members else ()
    columns, examples = P(*lead, None, "data"), P(*lead, "data")
    mesh = Mesh(np.array(jax.devices()[:4]), "data")
    divided = jax.shard_map(
        function, mesh=mesh, in_specs=(columns, P("data"), P("data"), P("data")), out_specs=(columns, examples)
    )
    with skipping_padding(True):
        expected = jax.jit(function)(table, tokens, lengths, weights)
        with divided_columns("data"):
            found = jax.jit(divided)(table, tokens, lengths, weights)
    assert_close(found[0], expected[0], 1e-5)
    valid = (np.arange(STEPS) < lengths[:, None])[..., None]
    np.testing.assert_array_equal(np.asarray(found[1]) * valid, np.asarray(expected[1]) * valid)


def test_outside_of_training_programs_a_model_is_differentiated_in_any_mode_and_twice():
    model = rnnjax.SequenceClassifier(9, 3, rnnjax.RNN(rnnjax.LSTM(4), backward="autodiff"))
    lengths = jnp.array([STEPS, 40, 1])
    params = model.init(jax.random.key(0), TOKENS, lengths=lengths)

    def loss(params):
        return jnp.sum(jnp.sin(model.apply(params, TOKENS, lengths=lengths)[1]))

    def squares(params):
        return sum(jnp.sum(a**2) for a in jax.tree.leaves(jax.grad(loss)(params)))

    gradient = jax.jit(jax.grad(loss))(params)
    _, along = jax.jit(lambda params: jax.jvp(loss, (params,), (params,)))(params)
    products = jax.tree.map(lambda a, b: jnp.sum(a * b), gradient, params)
    assert_close(along, sum(jax.tree.leaves(products)), 1e-4)
    second = jax.jit(jax.grad(squares))(params)
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(second))
    assert np.any(second["params"]["Embed_0"]["embedding"])
