"""Adam's update under a gradient that never changes is minus the learning rate, so the schedule can be read off."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.training.optimizer import make_optimizer
from rnnjax.training.settings import TrainingSettings

PEAK = 0.5


def updates(gradients, steps=10, **settings):
    """The optimizer's updates for a list of gradients (one an update)."""
    optimizer = make_optimizer(TrainingSettings(learning_rate=PEAK, **settings), steps)
    state = optimizer.init(jnp.zeros_like(gradients[0]))
    update = jax.jit(optimizer.update)
    told = []
    for gradient in gradients:
        step, state = update(gradient, state)
        told.append(np.asarray(step))
    return np.array(told)


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({}, {0: 1.0, 5: 1.0, 9: 1.0}),
        ({"warmup_steps": 4}, {0: 0.0, 1: 0.25, 3: 0.75, 4: 1.0, 9: 1.0}),
        ({"schedule": "cosine"}, {0: 1.0, 5: 0.5, 9: 0.5 * (1 + np.cos(0.9 * np.pi))}),
        (
            {"schedule": "cosine", "warmup_steps": 4},
            {0: 0.0, 2: 0.5, 4: 1.0, 7: 0.5, 9: 0.5 * (1 + np.cos(np.pi * 5 / 6))},
        ),
        ({"schedule": "cosine", "warmup_steps": 20}, {0: 0.0, 9: 9 / 20}),
    ],
    ids=["constant", "warmup", "cosine", "cosine after warmup", "warmup longer than the run"],
)
def test_the_learning_rate_at_the_start_after_warmup_and_at_the_end(settings, rates):
    told = -updates([jnp.array([3.0])] * 10, clip=0.0, **settings)[:, 0]
    for step, share in rates.items():
        assert told[step] == pytest.approx(PEAK * share, rel=1e-4, abs=1e-6)


def test_a_gradient_above_the_limit_is_scaled_down_as_a_whole():
    small, large = jnp.array([0.0, 0.9]), jnp.array([3.0, 4.0])
    clipped = updates([small, large], clip=1.0)
    np.testing.assert_allclose(clipped, updates([small, large / 5], clip=0.0), rtol=1e-6)
    assert np.any(np.abs(clipped - updates([small, large], clip=0.0)) > 0.01)
