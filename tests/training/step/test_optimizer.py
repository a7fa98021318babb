"""Adam's update for a constant gradient is minus the learning rate, which shows the schedule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rnnjax.config.training import TrainingSettings
from rnnjax.training.step.optimizer import make_optimizer

PEAK = 0.5


def updates(gradients, steps=10, **settings):
    """The optimizer's updates for a list of gradients (one an update)."""
    return updates_of(make_optimizer(TrainingSettings(**settings), steps), gradients, settings.get("clip", 1.0))


def updates_of(optimizer, gradients, clip, peak=PEAK):
    @jax.jit
    def update(peak, clip, gradient, state):
        return optimizer(peak, clip).update(gradient, state)

    state = optimizer(0.0, 1.0).init(jnp.zeros_like(gradients[0]))
    steps = []
    for gradient in gradients:
        step, state = update(peak, clip, gradient, state)
        steps.append(np.asarray(step))
    return np.array(steps)


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
    actual = -updates([jnp.array([3.0])] * 10, clip=0.0, **settings)[:, 0]
    for step, fraction in rates.items():
        assert actual[step] == pytest.approx(PEAK * fraction, rel=1e-4, abs=1e-6)


def test_a_gradient_above_the_limit_is_scaled_down_as_a_whole():
    small, large = jnp.array([0.0, 0.9]), jnp.array([3.0, 4.0])
    clipped = updates([small, large], clip=1.0)
    np.testing.assert_allclose(clipped, updates([small, large / 5], clip=0.0), rtol=1e-6)
    assert np.any(np.abs(clipped - updates([small, large], clip=0.0)) > 0.01)


def test_clipping_by_value_cuts_every_number_of_a_gradient():
    gradients = [jnp.array([0.0, 0.9, -0.3]), jnp.array([3.0, -4.0, 0.2]), jnp.array([-0.5, 0.1, 0.7])]
    cut = [jnp.clip(gradient, -0.5, 0.5) for gradient in gradients]
    clipped = updates(gradients, clip=0.5, clip_by="value")
    np.testing.assert_allclose(clipped, updates(cut, clip=0.0), rtol=1e-6)
    assert np.any(np.abs(clipped - updates(gradients, clip=0.5)) > 0.01)
    np.testing.assert_allclose(updates(gradients, clip=9.0, clip_by="value"), updates(gradients, clip=0.0), rtol=1e-6)


def test_the_limit_of_a_value_is_an_argument_too():
    gradients = [jnp.array([0.0, 0.9]), jnp.array([3.0, -4.0])]
    optimizer = make_optimizer(TrainingSettings(clip=9.0, clip_by="value"), steps=10)
    expected = updates(gradients, clip=0.5, clip_by="value")
    np.testing.assert_allclose(updates_of(optimizer, gradients, clip=0.5), expected, rtol=1e-6)
    assert np.any(np.abs(updates_of(optimizer, gradients, clip=9.0) - expected) > 0.01)


def test_rate_and_limit_are_arguments_of_one_program():
    """The settings say only whether there is clipping."""
    gradients = [jnp.array([0.0, 0.9]), jnp.array([3.0, 4.0])]
    optimizer = make_optimizer(TrainingSettings(learning_rate=9.0, clip=9.0, schedule="cosine"), steps=10)
    plain = make_optimizer(TrainingSettings(clip=0.0, schedule="cosine"), steps=10)
    free = updates_of(plain, gradients, clip=1e-9)
    np.testing.assert_allclose(updates_of(optimizer, gradients, clip=np.inf), free, rtol=1e-6)
    clipped = updates_of(plain, [gradients[0], gradients[1] / 5], clip=0.0)
    np.testing.assert_allclose(updates_of(optimizer, gradients, clip=1.0), clipped, rtol=1e-6)
    np.testing.assert_allclose(updates_of(plain, gradients, clip=0.0, peak=2 * PEAK), 2 * free, rtol=1e-6)
    assert jax.tree.structure(optimizer(0.1, 2.0).init(jnp.zeros(2))) == jax.tree.structure(
        optimizer(0.3, 0.5).init(jnp.zeros(2))
    )


def test_plain_gradient_descent_takes_the_gradient_times_the_learning_rate():
    """Each step by itself: without momentum and without a scale of its own; clipped where that is asked for."""
    gradients = [jnp.array([3.0, -4.0]), jnp.array([0.0, 0.25]), jnp.array([-8.0, 6.0])]
    np.testing.assert_array_equal(updates(gradients, clip=0.0, optimizer="sgd"), [[-1.5, 2], [0, -0.125], [4, -3]])
    clipped = updates(gradients, clip=1.0, optimizer="sgd")
    np.testing.assert_allclose(clipped, [[-0.3, 0.4], [0, -0.125], [0.4, -0.3]], rtol=1e-6)
    falling = updates([gradients[0]] * 3, steps=2, clip=0.0, optimizer="sgd", schedule="cosine")
    np.testing.assert_allclose(falling, [[-1.5, 2], [-0.75, 1], [0, 0]], atol=1e-6)


def test_settings_without_clipping_ignore_the_limit():
    plain = make_optimizer(TrainingSettings(clip=0.0), steps=10)
    gradients = [jnp.array([0.0, 0.9]), jnp.array([3.0, 4.0])]
    np.testing.assert_array_equal(updates_of(plain, gradients, clip=1e-3), updates_of(plain, gradients, clip=1e3))
