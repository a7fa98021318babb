"""Evaluation in sorted, padded batches is one pass over all examples."""

import jax
import numpy as np
import pytest

from rnnjax.runs.codec import encode
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.training.evaluate import accuracy_by_distance, evaluate
from rnnjax.training.setup import EVAL_BATCH_FACTOR, stack_trees


def initial_params(tiny, seed):
    (init,) = tiny.programs.init.values()
    return init(jax.random.key(seed)).params


@pytest.mark.parametrize("split", ["validation", "test"])
def test_scores_are_those_of_all_examples_at_once(tiny, split):
    params = initial_params(tiny, 3)
    tokens, lengths, labels, _ = getattr(tiny.dataset, split)
    logits = jax.jit(tiny.model.apply)({"params": params}, tokens, lengths=lengths)[1][:, 0]
    right = np.where(labels == 1, logits, -logits)
    losses = np.log1p(np.exp(-right.astype(np.float64)))

    assert len(labels) % tiny.setup.eval_batch_size != 0
    assert tiny.setup.eval_batch_size == EVAL_BATCH_FACTOR * tiny.setup.batch_size
    (scores,) = evaluate(tiny.setup, split, tiny.setup.layout.put(ShardingRole.PARAMS, stack_trees([params])))
    np.testing.assert_array_equal(scores.correct, right > 0)
    assert scores.accuracy == np.mean(right > 0)
    assert 0 < scores.accuracy < 1
    assert scores.loss == pytest.approx(losses.mean(), rel=1e-6)


def test_the_results_of_a_call_are_fetched_before_the_next(tiny):
    """Several calls at once, each with exchanges between two devices of a CPU, could wait for each other for ever."""
    order = []

    class Recorded:
        def put(self, role, tree):
            return tree

        def fetch(self, tree):
            order.append("fetch")
            return tree

    def score(params, examples, rows, stop):
        order.append("call")
        return np.zeros((2, *rows.shape))

    programs = tiny.setup.programs._replace(evaluate=score)
    setup = tiny.setup._replace(programs=programs, layout=Recorded(), eval_steps_per_program=1)
    evaluate(setup, "test", None)
    assert len(order) >= 4
    assert order == ["call", "fetch"] * (len(order) // 2)


def test_accuracy_by_distance():
    correct = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0])
    distances = np.array([30, 10, 10, 30, 20, 30])
    assert encode(accuracy_by_distance(correct, distances)) == {
        "distance": [10, 20, 30],
        "accuracy": [0.5, 0.0, pytest.approx(2 / 3)],
        "count": [2, 1, 3],
    }
