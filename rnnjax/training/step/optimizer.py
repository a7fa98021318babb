"""Adam or plain gradient descent, with clipping and a learning-rate schedule, built from Optax."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from rnnjax.config.training import TrainingSettings
from rnnjax.typing import PyTree

Norm = Callable[[PyTree], jax.Array]
Optimizer = Callable[..., optax.GradientTransformation]  # (peak, clip[, norm]) -> transformation, see make_optimizer


def make_optimizer(settings: TrainingSettings, steps: int) -> Optimizer:
    """Make the function ``(peak, clip, norm=optax.tree.norm) -> clipping, then the optimizer``.

    Its arguments are the peak of the learning rate, the largest norm of a gradient (or, with ``settings.clip_by ==
    "value"``, the largest absolute value of its numbers), and the function that computes the norm, for gradients that
    are divided over devices. ``peak`` and ``clip`` may be traced, so that runs with different values share a program.
    The optimizer's state has the same structure for all values.

    Args:
        settings: give the optimizer, the schedule, and whether there is clipping: there is none where
            ``settings.clip`` is 0.
        steps: of the whole run, for the schedule.
    """
    warmup = settings.warmup_steps

    def optimizer(
        peak: jax.Array | float, clip: jax.Array | float, norm: Norm = optax.tree.norm
    ) -> optax.GradientTransformation:
        schedule = optax.constant_schedule(1.0)
        if settings.schedule == "cosine":
            schedule = optax.cosine_decay_schedule(1.0, max(1, steps - warmup))
        if warmup > 0:
            schedule = optax.join_schedules([optax.linear_schedule(0.0, 1.0, warmup), schedule], [warmup])
        clipping = _clip_by_global_norm(clip, norm) if settings.clip_by == "norm" else optax.clip(clip)
        rule = {"adam": optax.adam, "sgd": optax.sgd}[settings.optimizer]
        return optax.chain(*[clipping] * (settings.clip > 0), rule(lambda count: peak * schedule(count)))

    return optimizer


def _clip_by_global_norm(max_norm: jax.Array | float, norm: Norm) -> optax.GradientTransformation:
    """``optax.clip_by_global_norm``, as a product with one number, which XLA fuses with the update.

    Optax selects between the gradient and a scaled copy, which takes another pass over every array.
    """

    def scale(grads: PyTree, _: PyTree) -> PyTree:
        factor = jnp.minimum(1.0, max_norm / norm(grads))
        return jax.tree.map(lambda g: (factor * g).astype(g.dtype), grads)

    return optax.stateless(scale)
