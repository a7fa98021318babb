"""Adam with clipping and a learning-rate schedule, out of Optax."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rnnjax.config.training import TrainingSettings

Norm = Callable[[Any], jax.Array]
Optimizer = Callable[..., optax.GradientTransformation]


def make_optimizer(settings: TrainingSettings, steps: int) -> Optimizer:
    """(peak of the learning rate, largest norm or number of a gradient) -> clipping, then Adam, over ``steps`` steps.

    A third argument computes the norm, where a gradient is not all in one place. Peak and clip may be traced, so that
    runs that differ in them share a program. There is no clipping where ``settings.clip`` is 0; the state has the
    same structure whatever the numbers.
    """
    warmup = settings.warmup_steps

    def optimizer(peak: Any, clip: Any, norm: Norm = optax.tree.norm) -> optax.GradientTransformation:
        schedule = optax.constant_schedule(1.0)
        if settings.schedule == "cosine":
            schedule = optax.cosine_decay_schedule(1.0, max(1, steps - warmup))
        if warmup > 0:
            schedule = optax.join_schedules([optax.linear_schedule(0.0, 1.0, warmup), schedule], [warmup])
        clipping = _clip_by_global_norm(clip, norm) if settings.clip_by == "norm" else optax.clip(clip)
        return optax.chain(*[clipping] * (settings.clip > 0), optax.adam(lambda count: peak * schedule(count)))

    return optimizer


def _clip_by_global_norm(largest: Any, norm: Norm) -> optax.GradientTransformation:
    """``optax.clip_by_global_norm`` as a product with one number, which fuses with Adam.

    Optax chooses between the gradient and a divided one, which takes another pass over every array.
    """

    def scaled(grads: Any, _: Any) -> Any:
        factor = jnp.minimum(1.0, largest / norm(grads))
        return jax.tree.map(lambda g: (factor * g).astype(g.dtype), grads)

    return optax.stateless(scaled)
