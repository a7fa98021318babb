"""One step of training and of evaluation, as pure functions that nobody has compiled yet."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from rnnjax.capture import Loss
from rnnjax.diagnostics import LagStatistics, lag_statistics, norms_by_lag, update_ratios
from rnnjax.training.optimizer import Optimizer
from rnnjax.training.penalties import FLOSSED_EXAMPLES, gradient_penalty
from rnnjax.training.settings import TrainingSettings
from rnnjax.training.tasks import WHOLE, Shares


class Batch(NamedTuple):
    """B examples cut or padded to T words."""

    tokens: Any  # (B, T) integers
    lengths: Any  # (B,) integers
    labels: Any  # (B,) integers in {0, 1}
    weights: Any  # (B,) 1, or 0 for an example that only fills the batch


class Knobs(NamedTuple):
    """What members that share a program may differ in, beside their data and parameters."""

    key: Any  # (2,) uint32, the bits of the run's key
    learning_rate: Any  # () at its peak
    clip: Any  # () largest global norm
    omega: Any  # () weight of the penalty
    flossing: Any  # () likewise


def make_knobs(settings: TrainingSettings, key: jax.Array) -> Knobs:
    """The knobs of a run with these settings, its dropout drawn from ``key``."""
    numbers = (settings.learning_rate, settings.clip, settings.omega, settings.flossing)
    return Knobs(jax.random.key_data(key), *[np.float32(number) for number in numbers])


class TrainState(NamedTuple):
    """What a step changes; with the run's key and settings it determines all that follows."""

    params: Any
    opt_state: Any
    step: jax.Array  # () int32, steps taken
    halted: jax.Array  # () bool, a loss or gradient was not finite, and nothing has changed since


class TrainMetrics(NamedTuple):
    """Means over the examples of one batch, and the gradient of their mean loss."""

    loss: jax.Array
    accuracy: jax.Array
    gradient_norm: jax.Array  # global norm over all parameters, before clipping


class StepLog(NamedTuple):
    """What a logged step shows beside its metrics."""

    gradients: Any  # the structure of the model's taps with a ``LagStatistics`` for each state
    updates: dict[str, jax.Array]  # ‖ΔW‖/‖W‖ of each parameter block


TrainStep = Callable[[Knobs, TrainState, Batch], tuple[TrainState, TrainMetrics, StepLog | None]]


def make_train_step(
    model: nn.Module,
    optimizer: Optimizer,
    settings: TrainingSettings,
    *,
    log_gradients: bool,
    shares: Shares = WHOLE,
) -> TrainStep:
    """The step ``(knobs, state, batch) -> (state, metrics, log)`` of a binary classifier.

    ``log`` is None without ``log_gradients``; its gradient norms are those of every example's own loss, before
    clipping, without penalties, from the same backward pass. A step whose loss or gradient is not finite changes
    nothing, nor does any after it, so that what led to it can be looked at.

    Args:
        model: with the interface of ``SequenceClassifier``.
        optimizer: from ``make_optimizer``.
        settings: say whether there are penalties; how much they weigh is a knob.
        log_gradients: whether to return the log.
        shares: of the batch; all means are over the whole of it, and the results are the same in every share.
    """
    penalised = settings.omega > 0, settings.flossing > 0

    def train_step(knobs: Knobs, state: TrainState, batch: Batch) -> tuple[TrainState, TrainMetrics, StepLog | None]:
        rows = shares.rows(len(batch.weights))
        weights = batch.weights / shares.sum(batch.weights.sum())
        taps = model.zero_taps(*batch.tokens.shape) if log_gradients else None
        rngs = {"dropout": jax.random.fold_in(jax.random.wrap_key_data(knobs.key), state.step)}

        def objective(params: Any, taps: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            losses, correct = _score(model, params, batch, taps=taps, train=True, rows=rows, rngs=rngs)
            loss = jnp.sum(losses * weights)
            penalty: Any = 0.0
            if any(penalised):
                flossed = ((rows < FLOSSED_EXAMPLES) & (weights > 0)).astype(weights.dtype)
                penalty = gradient_penalty(
                    make_loss(model), params, batch,
                    weights=weights, flossed=flossed / shares.sum(flossed.sum()),
                    omega_weight=knobs.omega if penalised[0] else None,
                    flossing_weight=knobs.flossing if penalised[1] else None,
                )  # fmt: skip
            return loss + penalty, (loss, jnp.sum(correct * weights))

        (_, measured), (grads, tap_grads) = jax.value_and_grad(objective, (0, 1), has_aux=True)(state.params, taps)
        (loss, accuracy), grads = shares.sum((measured, grads))
        rule = optimizer(knobs.learning_rate, knobs.clip)
        updates, opt_state = rule.update(grads, state.opt_state, state.params)
        metrics = TrainMetrics(loss, accuracy, optax.tree.norm(grads))
        halted = state.halted | ~(jnp.isfinite(metrics.loss) & jnp.isfinite(metrics.gradient_norm))
        new = TrainState(optax.apply_updates(state.params, updates), opt_state, state.step + 1, halted)
        new = jax.tree.map(lambda a, b: jnp.where(halted, b, a), new, state._replace(halted=halted))
        if not log_gradients:
            return new, metrics, None

        def statistics(tap_grad_BTH: jax.Array) -> LagStatistics:
            norms = norms_by_lag(jnp.swapaxes(tap_grad_BTH, 0, 1), batch.lengths, weights)
            return lag_statistics(*shares.gather(norms, axis=1))

        return new, metrics, StepLog(jax.tree.map(statistics, tap_grads), update_ratios(updates, state.params))

    return train_step


def make_eval_step(model: nn.Module) -> Callable[[Any, Batch], tuple[jax.Array, jax.Array]]:
    """The function ``(params, batch) -> (losses (B,), correct (B,))``, without dropout."""

    def eval_step(params: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
        return _score(model, params, batch)

    return eval_step


def make_loss(model: nn.Module) -> Loss:
    """The function ``(params, batch) -> losses (B,)``, without dropout: what diagnostics look into."""
    return lambda params, batch: _score(model, params, batch)[0]


def _score(model: nn.Module, params: Any, batch: Batch, **options: Any) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy in nats and correctness (0.0 or 1.0) of each example."""
    result: Any = model.apply({"params": params}, batch.tokens, lengths=batch.lengths, **options)
    _, logits = result
    losses = optax.sigmoid_binary_cross_entropy(logits[:, 0], batch.labels.astype(logits.dtype))
    correct = (logits[:, 0] > 0) == (batch.labels == 1)
    return losses, correct.astype(losses.dtype)
