"""One step of training and of evaluation, as pure functions that nobody has compiled yet."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from rnnjax.capture import Loss
from rnnjax.diagnostics import LagStatistics, lag_statistics, norms_by_lag, update_ratios
from rnnjax.training.penalties import gradient_penalty


class Batch(NamedTuple):
    """B examples cut or padded to T words."""

    tokens: jax.Array  # (B, T) integers
    lengths: jax.Array  # (B,) integers
    labels: jax.Array  # (B,) integers in {0, 1}
    weights: jax.Array  # (B,) 1, or 0 for an example that only fills the batch


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


TrainStep = Callable[[jax.Array, TrainState, Batch], tuple[TrainState, TrainMetrics, StepLog | None]]


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    log_gradients: bool,
    omega: float = 0.0,
    flossing: float = 0.0,
) -> TrainStep:
    """The step ``(key, state, batch) -> (state, metrics, log)`` of a binary classifier.

    ``log`` is None without ``log_gradients``; its gradient norms are those of every example's own loss, before
    clipping, without penalties, from the same backward pass. A step whose loss or gradient is not finite changes
    nothing, nor does any after it, so that what led to it can be looked at.
    """
    penalised = omega > 0 or flossing > 0

    def train_step(key: jax.Array, state: TrainState, batch: Batch) -> tuple[TrainState, TrainMetrics, StepLog | None]:
        weights = batch.weights / batch.weights.sum()
        taps = model.zero_taps(*batch.tokens.shape) if log_gradients else None
        rngs = {"dropout": jax.random.fold_in(key, state.step)}

        def objective(params: Any, taps: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            losses, correct = _score(model, params, batch, taps=taps, train=True, rngs=rngs)
            loss = jnp.sum(losses * weights)
            penalty: Any = 0.0
            if penalised:
                penalty = gradient_penalty(
                    make_loss(model), params, batch, omega_weight=omega, flossing_weight=flossing
                )
            return loss + penalty, (loss, jnp.sum(correct * weights))

        (_, (loss, accuracy)), (grads, tap_grads) = jax.value_and_grad(objective, (0, 1), has_aux=True)(
            state.params, taps
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        metrics = TrainMetrics(loss, accuracy, optax.tree.norm(grads))
        halted = state.halted | ~(jnp.isfinite(metrics.loss) & jnp.isfinite(metrics.gradient_norm))
        new = TrainState(optax.apply_updates(state.params, updates), opt_state, state.step + 1, halted)
        new = jax.tree.map(lambda a, b: jnp.where(halted, b, a), new, state._replace(halted=halted))
        if not log_gradients:
            return new, metrics, None

        def statistics(tap_grad_BTH: jax.Array) -> LagStatistics:
            return lag_statistics(*norms_by_lag(jnp.swapaxes(tap_grad_BTH, 0, 1), batch.lengths, weights))

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
