"""What is compiled asks LAPACK for one matrix at a time: on the CPU several such calls of many can wait for ever."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rnnjax
from rnnjax.analysis.measure import measure
from rnnjax.diagnostics.sequential_map import sequential_map
from rnnjax.training.step.regularizers import gradient_penalty
from rnnjax.training.step.state import Batch
from rnnjax.training.step.train_step import make_loss

DECOMPOSITIONS = {"qr", "geqrf", "householder_product", "svd", "lu", "eig", "eigh", "cholesky", "schur"}
MODEL = rnnjax.SequenceClassifier(7, 3, rnnjax.RNN(rnnjax.LSTM(3)))
BATCH = Batch(jnp.ones((5, 6), int), jnp.array([6, 3, 1, 6, 5]), jnp.array([0, 1, 1, 0, 1]), jnp.ones(5))
SHARES = np.full(5, 0.2, np.float32)


def decomposed(jaxpr):
    """(name, rank of the operand) of every decomposition in a jaxpr and all that it calls."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name in DECOMPOSITIONS:
            found.append((equation.primitive.name, equation.invars[0].aval.ndim))
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda node: hasattr(node, "eqns")):
            inner = getattr(inner, "jaxpr", inner)
            found += decomposed(inner) if hasattr(inner, "eqns") else []
    return found


def penalty(params):
    return gradient_penalty(
        make_loss(MODEL), params, BATCH, weights=SHARES, flossed=SHARES, omega_weight=None, flossing_weight=1.0
    )


@pytest.mark.parametrize(
    "function", [lambda params: measure(make_loss(MODEL), params, BATCH).layers, penalty, jax.grad(penalty)]
)
def test_no_program_decomposes_many_matrices_at_once(function):
    params = jax.eval_shape(MODEL.init, jax.random.key(0), BATCH.inputs)["params"]
    found = decomposed(jax.make_jaxpr(function)(params).jaxpr)
    assert found
    assert {rank for _, rank in found} == {2}


def test_results_are_those_of_all_at_once():
    matrices = jnp.array(np.random.default_rng(0).normal(size=(2, 3, 4, 4)), jnp.float32)
    np.testing.assert_allclose(sequential_map(jnp.linalg.inv, matrices), jnp.linalg.inv(matrices), rtol=1e-4)
    assert sequential_map(jnp.linalg.inv, matrices[0, 0]).shape == (4, 4)
