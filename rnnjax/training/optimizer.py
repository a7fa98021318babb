"""Adam with clipping and a learning-rate schedule, out of Optax."""

import optax

from rnnjax.training.settings import TrainingSettings


def make_optimizer(settings: TrainingSettings, steps: int) -> optax.GradientTransformation:
    """Global-norm clipping (where ``settings.clip`` > 0), then Adam, over a run of ``steps`` steps."""
    peak, warmup = settings.learning_rate, settings.warmup_steps
    schedule = optax.constant_schedule(peak)
    if settings.schedule == "cosine":
        schedule = optax.cosine_decay_schedule(peak, max(1, steps - warmup))
    if warmup > 0:
        schedule = optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), schedule], [warmup])
    clip = [optax.clip_by_global_norm(settings.clip)] if settings.clip > 0 else []
    return optax.chain(*clip, optax.adam(schedule))
