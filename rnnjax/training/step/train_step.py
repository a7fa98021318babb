"""One step of training and of evaluation, as pure functions that nobody has compiled yet."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.analysis.capture import Loss
from rnnjax.config.training import TrainingSettings
from rnnjax.core.taps import is_norm_tap, norm_taps
from rnnjax.data.dataset import Objective
from rnnjax.diagnostics import lag_statistics, update_ratios
from rnnjax.diagnostics.gradients import example_loss_norms
from rnnjax.sharding.program_spec import WHOLE_BATCH, BatchShard, ShardingRole
from rnnjax.training.step.blockwise_update import apply_update
from rnnjax.training.step.losses import score
from rnnjax.training.step.optimizer import Optimizer
from rnnjax.training.step.regularizers import FLOSSED_EXAMPLES, gradient_penalty


class Batch(NamedTuple):
    """B examples cut or padded to T words."""

    inputs: Any  # (B, T) integers, or (B, T, D) numbers
    lengths: Any  # (B,) integers
    labels: Any  # (B,) or (B, T), see ``Objective``
    weights: Any  # (B,) 1, or 0 for an example that only fills the batch


class TracedHParams(NamedTuple):
    """What members that share a program may differ in, beside their data and parameters."""

    key: Any  # (2,) uint32, the bits of the run's key
    learning_rate: Any  # () at its peak
    clip: Any  # () largest norm, or number, of a gradient
    omega: Any  # () weight of the penalty
    flossing: Any  # () likewise


def traced_hparams(settings: TrainingSettings, key: jax.Array) -> TracedHParams:
    """The knobs of a run with these settings, its dropout drawn from ``key``."""
    numbers = (settings.learning_rate, settings.clip, settings.omega, settings.flossing)
    return TracedHParams(jax.random.key_data(key), *[np.float32(number) for number in numbers])


class TrainState(NamedTuple):
    """What a step changes; with the run's key and settings it determines all that follows."""

    params: Any
    opt_state: Any
    step: Any  # () int32, steps taken
    halted: Any  # () bool, a loss or gradient was not finite, and nothing has changed since
    carry: Any = ()  # the model's state after the last step, of all B sequences, where it is carried over


STATE = TrainState(
    ShardingRole.PARAMS, ShardingRole.PARAMS, ShardingRole.MEMBER, ShardingRole.MEMBER, ShardingRole.MEMBER
)  # how each is divided


class TrainMetrics(NamedTuple):
    """Means over the examples of one batch, and the gradient of their mean loss."""

    loss: jax.Array
    accuracy: jax.Array
    gradient_norm: jax.Array  # global norm over all parameters, before clipping


class StepLog(NamedTuple):
    """What a logged step shows beside its metrics."""

    gradients: Any  # the structure of the model's taps with a ``LagStatistics`` for each state
    updates: dict[str, jax.Array]  # ‖ΔW‖/‖W‖ of each parameter block


class EvalStep(NamedTuple):
    """A step of evaluation."""

    score: Callable[[Any, Batch, Any], Any]  # (params, batch, state) -> ((losses (B,), correct (B,)), state)
    first_state: Callable[[int], Any]  # B -> the state before the first batch


TrainStep = Callable[[TracedHParams, TrainState, Batch], tuple[TrainState, TrainMetrics, StepLog | None]]


def make_train_step(
    model: nn.Module,
    optimizer: Optimizer,
    settings: TrainingSettings,
    *,
    log_gradients: bool,
    objective: Objective = Objective.BINARY,
    restart_every: int | None = None,
    shares: BatchShard = WHOLE_BATCH,
) -> TrainStep:
    """The step ``(knobs, state, batch) -> (state, metrics, log)`` of a model with an ``objective``.

    ``log`` is None without ``log_gradients``; its gradient norms are those of every example's own loss, before
    clipping, without penalties, from the same backward pass. A step whose loss or gradient is not finite changes
    nothing, nor does any after it, so that what led to it can be looked at.

    Args:
        model: with the interface of ``SequenceClassifier``.
        optimizer: from ``make_optimizer``.
        settings: say whether there are penalties; how much they weigh is a knob.
        log_gradients: whether to return the log.
        objective: what the labels are.
        restart_every: where each batch goes on where the one before it ended (truncated backpropagation through
            time), the number of steps after which sequences begin anew; None begins every batch from zeros.
        shares: of the batch; all means are over the whole of it, and the results are the same in every share. Of
            parameters that lie in parts, the state has the rows that are held here.
    """
    penalised = settings.omega > 0, settings.flossing > 0

    def train_step(
        knobs: TracedHParams, state: TrainState, batch: Batch
    ) -> tuple[TrainState, TrainMetrics, StepLog | None]:
        rows = shares.example_indices(len(batch.weights))
        weights = batch.weights / shares.psum(batch.weights.sum())
        taps = norm_taps(model.zero_taps(*batch.inputs.shape[:2])) if log_gradients else None
        carry = carried_in(state, restart_every, rows)
        rngs = {"dropout": jax.random.fold_in(jax.random.wrap_key_data(knobs.key), state.step)}

        def total(params: Any, taps: Any) -> tuple[jax.Array, tuple[Any, Any]]:
            losses, correct, final = _score(
                model, objective, params, batch, state=carry, taps=taps, train=True, rows=rows, rngs=rngs
            )
            loss = jnp.sum(losses * weights)
            penalty: Any = 0.0
            if any(penalised):
                flossed = ((rows < FLOSSED_EXAMPLES) & (weights > 0)).astype(weights.dtype)
                penalty = gradient_penalty(
                    make_loss(model, objective, carry), params, batch,
                    weights=weights, flossed=flossed / shares.psum(flossed.sum()),
                    omega_weight=knobs.omega if penalised[0] else None,
                    flossing_weight=knobs.flossing if penalised[1] else None,
                )  # fmt: skip
            return loss + penalty, ((loss, jnp.sum(correct * weights)), final)

        params, gradient = shares.all_gather_rows(state.params), jax.value_and_grad(total, (0, 1), has_aux=True)
        (_, (measured, final)), (grads, norms) = gradient(params, taps)
        (loss, accuracy), grads = shares.psum(measured), shares.reduce_gradients(grads)
        gradient_norm = shares.global_norm(grads)
        metrics = TrainMetrics(loss, accuracy, gradient_norm)
        halted = state.halted | ~(jnp.isfinite(loss) & jnp.isfinite(gradient_norm))
        rule = optimizer(knobs.learning_rate, knobs.clip, lambda _: gradient_norm)
        new_params, opt_state, changes, sizes = apply_update(
            rule, grads, state.params, state.opt_state, halted, squares=log_gradients, in_blocks=shares.blockwise
        )
        carried = ()
        if restart_every is not None:  # without what only fills the batch, so that it fits any number of devices
            carried = jax.tree.map(lambda new, old: new[: len(old)], shares.all_gather(final, axis=0), state.carry)
        step, carried = jax.tree.map(
            lambda old, new: jnp.where(halted, old, new), (state.step, state.carry), (state.step + 1, carried)
        )
        new = TrainState(new_params, opt_state, step, halted, carried)
        if not log_gradients:
            return new, metrics, None

        return new, metrics, _log(norms, (changes, sizes), batch.lengths, weights, shares)

    return train_step


def _log(norms: Any, squares: Any, lengths: jax.Array, weights: jax.Array, shares: BatchShard) -> StepLog:
    """Of the whole batch and whole parameters, in one exchange.

    Args:
        norms: of the gradient of every tap, ``NormTap`` of (B, T, 1).
        squares: ΣΔw² and Σw² of every parameter, of the rows that are held here, before the step.
        lengths: (B,).
        weights: (B,) those that the loss was summed with.
        shares: of the batch.
    """
    taps, structure = jax.tree.flatten(norms, is_leaf=is_norm_tap)
    by_lag = [example_loss_norms(jnp.swapaxes(tap.norm[..., 0], 0, 1), lengths, weights) for tap in taps]
    exists = by_lag[0][1]  # one for all, as are the lengths
    told, squares = shares.all_gather_stacked((jnp.stack([*(norms for norms, _ in by_lag), exists]), squares))
    *all_norms, exists = jnp.concatenate(told, axis=-1)
    gradients = [lag_statistics(some, exists > 0) for some in all_norms]
    changes, sizes = (jax.tree.map(jnp.sqrt, shares.sum_row_shards(sums)) for sums in squares)
    return StepLog(jax.tree.unflatten(structure, gradients), update_ratios(changes, sizes))


def carried_in(state: TrainState, restart_every: int | None, rows: jax.Array) -> Any:
    """The model's state before a step of training, of the sequences ``rows``; None, for zeros, where none is carried.

    Args:
        state: of training, before the step.
        restart_every: as ``make_train_step``.
        rows: places of the examples in the whole batch; one past the end, which only fills it, has the last one's.
    """
    if restart_every is None:
        return None
    begins = state.step % restart_every == 0
    return jax.tree.map(lambda a: jnp.where(begins, 0, jnp.take(a, rows, axis=0, mode="clip")), state.carry)


def make_eval_step(model: Any, objective: Objective = Objective.BINARY, restart_every: int | None = None) -> EvalStep:
    """Scores without dropout; where states are carried, batches go on from each other, else each begins from zeros."""

    def score_batch(params: Any, batch: Batch, state: Any) -> Any:
        losses, correct, final = _score(model, objective, params, batch, state=state or None)
        return (losses, correct), () if restart_every is None else final

    return EvalStep(score_batch, lambda batch: () if restart_every is None else model.initial_state(batch))


def make_loss(model: nn.Module, objective: Objective = Objective.BINARY, state: Any = None) -> Loss:
    """The function ``(params, batch) -> losses (B,)``, without dropout: what diagnostics look into.

    It begins with ``state``, or with zeros where that is None.
    """
    return lambda params, batch: _score(model, objective, params, batch, state=state)[0]


def _score(
    model: nn.Module, objective: Objective, params: Any, batch: Batch, **options: Any
) -> tuple[jax.Array, jax.Array, Any]:
    """Loss and correctness (0..1) of each example, and the model's final state."""
    result: Any = model.apply({"params": params}, batch.inputs, lengths=batch.lengths, **options)
    final, outputs = result
    return *score(objective, outputs, batch.labels, batch.lengths), final
