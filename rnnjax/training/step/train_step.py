"""The training step and the evaluation step of one member as pure functions, not yet compiled."""

from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from rnnjax.analysis.capture import Loss
from rnnjax.config.training import TrainingSettings
from rnnjax.core.skipped_padding import skipping_padding
from rnnjax.core.taps import is_norm_tap, norm_taps
from rnnjax.data.dataset import Objective
from rnnjax.diagnostics import lag_statistics, update_ratios
from rnnjax.diagnostics.gradients import example_loss_norms
from rnnjax.nn.embedding import divided_columns
from rnnjax.nn.word_projections import PreparedModel, project_words_once
from rnnjax.sharding.program_spec import WHOLE_BATCH, BatchShard
from rnnjax.training.step.blockwise_update import apply_update
from rnnjax.training.step.losses import score
from rnnjax.training.step.optimizer import Optimizer
from rnnjax.training.step.regularizers import FLOSSED_EXAMPLES, gradient_penalty
from rnnjax.training.step.state import (
    Batch,
    EvalStep,
    StepLog,
    TracedHParams,
    TrainMetrics,
    TrainState,
    TrainStep,
)
from rnnjax.typing import AnyArray, ModelParams, PyTree, States, Taps

RESTART_SHARE = 0.05  # of the streams that start again in front of a window, see ``restarted_streams``


def make_train_step(
    model: nn.Module,
    optimizer: Optimizer,
    settings: TrainingSettings,
    *,
    log_gradients: bool,
    objective: Objective = Objective.BINARY,
    restart_every: int | None = None,
    ragged: bool = True,
    shard: BatchShard = WHOLE_BATCH,
) -> TrainStep:
    """Make the step ``(hparams, state, batch) -> (state, metrics, log)``.

    ``log`` is None without ``log_gradients``. Its gradient norms are of every example's own loss, before clipping and
    without penalties, and come from the same backward pass as the update. A step whose loss or gradient is not finite,
    or, without clipping, the square of its gradient, sets ``state.halted`` and changes nothing else, and neither does
    any step after it, so that the parameters and the batch that led to it can be examined.

    Args:
        model: with the interface of ``SequenceClassifier``.
        optimizer: from ``make_optimizer``.
        settings: decide whether there are penalties; their weights are read from ``hparams``.
        log_gradients: whether to return the log.
        objective: the kind of label.
        restart_every: for truncated backpropagation through time, where each batch continues the sequences of the one
            before it: the number of steps after which they all start again from the initial state; in between, a few
            do at every step, see ``restarted_streams``. None starts every batch from it.
        ragged: whether any example is shorter than T; else the model is not given lengths, and need not mask steps.
        shard: the shard of the batch that the step is given. Means are over the whole batch, and results are the same
            in every shard. Of a parameter that is divided over the shards, ``state`` has this shard's part.
    """
    use_omega, use_flossing = settings.omega > 0, settings.flossing > 0

    def train_step(
        hparams: TracedHParams, state: TrainState, batch: Batch
    ) -> tuple[TrainState, TrainMetrics, StepLog | None]:
        chex.assert_equal_shape([batch.lengths, batch.weights])
        rows = shard.example_indices(len(batch.weights))
        weights = batch.weights / shard.psum(batch.weights.sum())
        taps = norm_taps(model.zero_taps(*batch.inputs.shape[:2]), leading=2) if log_gradients else None
        carry = carry_before_step(model, state, restart_every, hparams.key, rows)
        rngs = {"dropout": jax.random.fold_in(jax.random.wrap_key_data(hparams.key), state.step)}

        def total_loss(params: ModelParams, taps: Taps) -> tuple[jax.Array, tuple[tuple[jax.Array, jax.Array], States]]:
            with skipping_padding(True):
                losses, correct, final = _score(
                    model, objective, params, batch,
                    ragged=ragged, state=carry, taps=taps, train=True, rows=rows, rngs=rngs,
                )  # fmt: skip
            loss = jnp.sum(losses * weights)
            penalty: jax.Array | float = 0.0
            if use_omega or use_flossing:
                flossed = ((rows < FLOSSED_EXAMPLES) & (weights > 0)).astype(weights.dtype)
                penalty = gradient_penalty(
                    make_loss(model, objective, carry), params, batch,
                    weights=weights, flossed=flossed / shard.psum(flossed.sum()),
                    omega_weight=hparams.omega if use_omega else None,
                    flossing_weight=hparams.flossing if use_flossing else None,
                )  # fmt: skip
            return loss + penalty, ((loss, jnp.sum(correct * weights)), final)

        params, gradient = shard.all_gather_rows(state.params), jax.value_and_grad(total_loss, (0, 1), has_aux=True)
        with divided_columns(shard.columns_axis):
            (_, (shard_means, final)), (grads, tap_norms) = gradient(params, taps)
        (loss, accuracy), grads = shard.psum(shard_means), shard.reduce_gradients(grads)
        gradient_norm = shard.global_norm(grads)
        if not settings.clip:  # where nothing is clipped, Adam's mean squares must be finite as well
            gradient_norm = jnp.where(jnp.isfinite(gradient_norm**2), gradient_norm, jnp.inf)
        metrics = TrainMetrics(loss, accuracy, gradient_norm)
        halted = state.halted | ~(jnp.isfinite(loss) & jnp.isfinite(gradient_norm))
        rule = optimizer(hparams.learning_rate, hparams.clip, lambda _: gradient_norm)
        new_params, opt_state, changes, sizes = apply_update(
            rule, grads, state.params, state.opt_state, halted, squares=log_gradients, in_blocks=shard.blockwise
        )
        new_carry: States = ()
        if restart_every is not None:  # without the padding of the batch, whose size depends on the number of devices
            new_carry = jax.tree.map(lambda new, old: new[: len(old)], shard.all_gather(final, axis=0), state.carry)
        step, new_carry = jax.tree.map(
            lambda old, new: jnp.where(halted, old, new), (state.step, state.carry), (state.step + 1, new_carry)
        )
        new_state = TrainState(new_params, opt_state, step, halted, new_carry)
        if not log_gradients:
            return new_state, metrics, None

        return new_state, metrics, _log(tap_norms, (changes, sizes), batch.lengths, weights, shard)

    return train_step


def _log(
    tap_norms: PyTree, squares: tuple[PyTree, PyTree], lengths: jax.Array, weights: jax.Array, shard: BatchShard
) -> StepLog:
    """The log of the whole batch and of whole parameters, gathered from all shards in one exchange.

    Args:
        tap_norms: the gradient with respect to every tap, a ``NormTap`` of (B, T, 1) each.
        squares: Σ ΔW² and Σ W² (before the step) of every parameter, over the part that this shard holds.
        lengths: (B,).
        weights: (B,) of the examples in the mean loss.
        shard: of the batch.
    """
    taps, structure = jax.tree.flatten(tap_norms, is_leaf=is_norm_tap)
    by_lag = [example_loss_norms(jnp.swapaxes(tap.norm[..., 0], 0, 1), lengths, weights) for tap in taps]
    exists = by_lag[0][1]  # the same for all taps, as are the lengths
    gathered, squares = shard.all_gather_stacked((jnp.stack([*(norms for norms, _ in by_lag), exists]), squares))
    *norms_of_taps, exists = jnp.concatenate(gathered, axis=-1)
    gradients = [lag_statistics(norms, exists > 0) for norms in norms_of_taps]
    changes, sizes = (jax.tree.map(jnp.sqrt, shard.sum_parts(sums)) for sums in squares)
    return StepLog(jax.tree.unflatten(structure, gradients), update_ratios(changes, sizes))


def carry_before_step(
    model: nn.Module, state: TrainState, restart_every: int | None, key: AnyArray, rows: jax.Array
) -> States | None:
    """The model's state in front of a training step.

    None, which stands for the initial state, where batches do not continue each other.

    Args:
        model: with the interface of ``SequenceClassifier``.
        state: of training, before the step.
        restart_every: see ``make_train_step``.
        key: (2,) uint32, key data of the run, see ``TracedHParams``.
        rows: (B,) positions of the shard's examples in the whole batch. One past the end, which belongs to an example
            that only pads the batch, gets the state of the last row.
    """
    if restart_every is None:
        return None
    streams = jax.tree.leaves(state.carry)[0].shape[0]
    restarted = (state.step % restart_every == 0) | restarted_streams(key, state.step, streams)

    def before(a: jax.Array, initial: jax.Array) -> jax.Array:
        kept = jnp.where(restarted.reshape(-1, *[1] * (a.ndim - 1)), initial.astype(a.dtype), a)
        return jnp.take(kept, rows, axis=0, mode="clip")

    return jax.tree.map(before, state.carry, model.initial_state(streams))


def restarted_streams(key: AnyArray, step: AnyArray, streams: int) -> jax.Array:
    """Which of the streams (B,) start again in front of training step ``step``, each with 5% probability.

    Validation and test begin every stream from the initial state, which the training would otherwise meet only at the
    first step of an epoch: by the end of the epoch the network could have unlearnt to start from there.

    Args:
        key: (2,) uint32, key data of the run; the same key and step give the same streams.
        step: () training steps taken.
        streams: B.
    """
    of_step = jax.random.fold_in(jax.random.wrap_key_data(key), step)
    return jax.random.bernoulli(jax.random.fold_in(of_step, 1), RESTART_SHARE, (streams,))


def make_eval_step(
    model: nn.Module,
    objective: Objective = Objective.BINARY,
    restart_every: int | None = None,
    ragged: bool = True,
    words_once: bool = False,
) -> EvalStep:
    """Make the step ``(params, batch, state) -> ((losses, correct), state)``, without dropout.

    Args:
        model: with the interface of ``SequenceClassifier``.
        objective: the kind of label.
        restart_every: None starts every batch from the initial state; with any number, each continues the one before.
        ragged: see ``make_train_step``.
        words_once: whether to compute input products once for each word of the vocabulary, a table for each member.
    """
    scored, prepare = project_words_once(model) if words_once else PreparedModel(model, lambda params: params)

    def score_batch(params: ModelParams, batch: Batch, state: States) -> tuple[tuple[jax.Array, jax.Array], States]:
        with skipping_padding(True):
            losses, correct, final = _score(scored, objective, params, batch, ragged=ragged, state=state or None)
        return (losses, correct), () if restart_every is None else final

    return EvalStep(prepare, score_batch, lambda batch: () if restart_every is None else model.initial_state(batch))


def make_loss(model: nn.Module, objective: Objective = Objective.BINARY, state: States | None = None) -> Loss:
    """The function ``(params, batch) -> losses (B,)`` that diagnostics differentiate: without dropout.

    The model starts from ``state``, or from its initial state where that is None.
    """
    return lambda params, batch: _score(model, objective, params, batch, state=state)[0]


def _score(
    model: nn.Module, objective: Objective, params: ModelParams, batch: Batch, *, ragged: bool = True, **options: Any
) -> tuple[jax.Array, jax.Array, States]:
    """Loss (B,) and correctness (B,) in 0..1 of each example, and the model's final state."""
    lengths = batch.lengths if ragged else None
    result: PyTree = model.apply({"params": params}, batch.inputs, lengths=lengths, **options)
    final, outputs = result
    return *score(objective, outputs, batch.labels, batch.lengths), final
