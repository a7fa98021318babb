"""Several training or evaluation steps in one program, as pure functions of one member.

The data set lies on the device as a whole. A program is given the row numbers of its batches and loops over them, so
that the host is not involved between the steps.
"""

from functools import partial
from typing import NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.data.dataset import Dataset, Examples, Objective
from rnnjax.sharding.program_spec import BatchShard
from rnnjax.training.step.flat_tree import FlatTree, flatten_tree
from rnnjax.training.step.optimizer import Optimizer
from rnnjax.training.step.state import Batch, EvalStep, TracedHParams, TrainMetrics, TrainState, TrainStep
from rnnjax.typing import AnyArray, ModelParams, States

LoggedCarry = tuple[TrainState, TrainMetrics, FlatTree]  # of a loop over steps of which one is logged
EvalCarry = tuple[tuple[jax.Array, jax.Array], States]  # of a loop over batches: losses and correctness (K, B), state


class ExampleArrays(NamedTuple):
    """All N examples of a data set: the rows of the training split, then of validation, then of test."""

    inputs: AnyArray  # (N, L) token ids, or (N, L, D) numbers; L steps, the longest example
    lengths: AnyArray  # (N,)
    labels: AnyArray  # (N,) or (N, L)


def example_arrays(dataset: Dataset, steps: int) -> ExampleArrays:
    """The arrays of all splits, numpy, cut to L = ``steps``; one program can then serve each split."""
    splits = [_cut(split, steps) for split in dataset.splits]
    return ExampleArrays(*[np.concatenate(arrays) for arrays in zip(*splits, strict=True)])


def example_shapes(dataset: Dataset, steps: int) -> ExampleArrays:
    """Shapes and dtypes of ``example_arrays``."""
    count = sum(len(split.lengths) for split in dataset.splits)
    arrays = _cut(dataset.train, steps)
    return ExampleArrays(*[jax.ShapeDtypeStruct((count, *a.shape[1:]), a.dtype) for a in arrays])


def _cut(split: Examples, steps: int) -> ExampleArrays:
    labels = split.labels if split.labels.ndim == 1 else split.labels[:, :steps]
    return ExampleArrays(split.inputs[:, :steps], split.lengths, labels)


class ProgramKind(NamedTuple):
    """What programs depend on of a task, beside the shapes of its examples."""

    objective: Objective
    restart_every: int | None  # see ``make_train_step``
    ragged: bool  # whether any example is shorter than the longest


def init_state(
    model: nn.Module, optimizer: Optimizer, inputs: AnyArray, batch_size: int | None, key: jax.Array
) -> TrainState:
    """The state before the first step.

    Args:
        model: with the interface of ``SequenceClassifier``.
        optimizer: from ``make_optimizer``.
        inputs: (1, T) or (1, T, D), for shapes and dtype; any T will do.
        batch_size: B, where batches continue each other and the model's state is part of the training state; else None.
        key: of the initial parameters.
    """
    params = model.init(key, jnp.zeros_like(inputs))["params"]
    carry = () if batch_size is None else model.initial_state(batch_size)
    return TrainState(params, optimizer(0.0, 1.0).init(params), jnp.zeros((), jnp.int32), jnp.zeros((), bool), carry)


def scale_bytes(inputs: AnyArray) -> AnyArray:
    """Bytes (uint8, as of images) as float32 in 0..1; inputs of any other dtype unchanged."""
    return inputs.astype(np.float32) / 255 if inputs.dtype == np.uint8 else inputs


def _gather_batch(examples: ExampleArrays, indices: jax.Array, weights: jax.Array) -> Batch:
    """The examples at ``indices`` (B,)."""
    return Batch(scale_bytes(examples.inputs[indices]), examples.lengths[indices], examples.labels[indices], weights)


def train_chunk(
    step: TrainStep,
    logged_step: TrainStep | None,
    hparams: TracedHParams,
    examples: ExampleArrays,
    state: TrainState,
    indices: jax.Array,
    weights: jax.Array,
    start: jax.Array,
    stop: jax.Array,
    logged: jax.Array,
) -> tuple[TrainState, TrainMetrics, FlatTree | None]:
    """Take the training steps start..stop-1 of a chunk of K batches.

    Both kinds of steps run inside loops, where XLA updates the state in place. An outer loop of one or two passes runs
    "plain steps, then the logged step" and "the remaining plain steps", so that each kind is compiled only once.

    Args:
        step: without a log.
        logged_step: with a log; None where no step of the run is logged.
        hparams: of the run.
        examples: of the data set.
        state: before the first of the steps.
        indices: (K, B) rows of ``examples``.
        weights: (K, B), see ``Batch``.
        start: () the first step, 0..K-1.
        stop: () one past the last step.
        logged: () the step that is logged; a number outside of start..stop-1 logs none.

    Returns:
        the state; metrics (K,), zero outside of start..stop-1; and the ``StepLog`` as one vector, zeros where no step
        of this call is logged, None without ``logged_step``.
    """
    chex.assert_equal_shape([indices, weights])
    chex.assert_rank(indices, 2)

    def take(step: TrainStep, k: jax.Array, state: TrainState) -> tuple[TrainState, TrainMetrics, FlatTree | None]:
        state, metrics, log = step(hparams, state, _gather_batch(examples, indices[k], weights[k]))
        return state, metrics, None if log is None else flatten_tree(log)

    def put(k: jax.Array, metrics: TrainMetrics, new: TrainMetrics) -> TrainMetrics:
        return jax.tree.map(lambda values, value: values.at[k].set(value), metrics, new)

    def plain(k: jax.Array, carry: tuple[TrainState, TrainMetrics]) -> tuple[TrainState, TrainMetrics]:
        state, metrics = carry
        state, new, _ = take(step, k, state)
        return state, put(k, metrics, new)

    zeros = TrainMetrics(*[jnp.zeros(indices.shape[0]) for _ in TrainMetrics._fields])
    if logged_step is None:
        return *jax.lax.fori_loop(start, stop, plain, (state, zeros)), None

    # jit caches the trace, which is needed twice: here for the shapes of the log, and in the loop
    take_logged = jax.jit(partial(take, logged_step), inline=True)

    def log_step(k: jax.Array, carry: LoggedCarry) -> LoggedCarry:
        state, metrics, _ = carry
        state, new, log = take_logged(k, state)
        return state, put(k, metrics, new), log

    log_at = jnp.where((start <= logged) & (logged < stop), logged, stop)

    def one_pass(i: jax.Array, carry: LoggedCarry) -> LoggedCarry:
        """Pass 0: the steps before ``log_at``, and the logged step if there is one; pass 1: the steps after it."""
        state, metrics, log = carry
        first, last = jnp.where(i == 0, start, log_at + 1), jnp.where(i == 0, log_at, stop)
        state, metrics = jax.lax.fori_loop(first, last, plain, (state, metrics))
        logged_steps = (i == 0) & (log_at < stop)  # 0 or 1
        return jax.lax.fori_loop(last, last + logged_steps, log_step, (state, metrics, log))

    *_, log_shapes = jax.eval_shape(take_logged, start, state)
    passes = jnp.where(log_at + 1 < stop, 2, 1)
    return jax.lax.fori_loop(0, passes, one_pass, (state, zeros, jax.tree.map(jnp.zeros_like, log_shapes)))


def evaluate_chunk(
    step: EvalStep,
    shard: BatchShard,
    params: ModelParams,
    examples: ExampleArrays,
    indices: jax.Array,
    stop: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Score the first ``stop`` batches of a chunk.

    Args:
        step: of evaluation.
        shard: of the batches.
        params: of the model; of a parameter that is divided over the shards, this shard's part.
        examples: of the data set.
        indices: (K, B) rows of ``examples``, B those of this shard.
        stop: () batches to score.

    Returns:
        losses and correctness, each (K, B) with the B of the whole batch; zero from batch ``stop`` on.
    """
    chex.assert_rank(indices, 2)
    size = indices.shape[1]

    prepared = step.prepare(shard.all_gather_params(params))

    def score_batch(k: jax.Array, carry: EvalCarry) -> EvalCarry:
        scores, state = carry
        new, state = step.score(prepared, _gather_batch(examples, indices[k], jnp.ones(size)), state)
        return jax.tree.map(lambda values, value: values.at[k].set(value), scores, new), state

    zeros = jnp.zeros(indices.shape), jnp.zeros(indices.shape)
    scores, _ = jax.lax.fori_loop(0, stop, score_batch, (zeros, step.initial_state(size)))
    return shard.all_gather(scores, axis=1)
