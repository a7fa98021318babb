"""Several steps in one compiled loop, over data that already lies on the device: pure functions of one member."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.data.dataset import Dataset, Objective
from rnnjax.sharding.program_spec import BatchShard
from rnnjax.training.step.flat_tree import FlatTree, flatten_tree
from rnnjax.training.step.optimizer import Optimizer
from rnnjax.training.step.train_step import Batch, EvalStep, TrainMetrics, TrainState, TrainStep


class ExampleArrays(NamedTuple):
    """All splits of a data set one after the other, so that one program serves each of them."""

    inputs: Any  # (N, L) or (N, L, D)
    lengths: Any  # (N,)
    labels: Any  # (N,) or (N, L)


def example_arrays(dataset: Dataset) -> ExampleArrays:
    """The arrays that programs read; rows in the order train, validation, test."""
    splits = (dataset.train, dataset.validation, dataset.test)
    return ExampleArrays(*[np.concatenate([split[i] for split in splits]) for i in range(3)])


def example_shapes(dataset: Dataset) -> ExampleArrays:
    """Shapes and dtypes of ``example_arrays``."""
    count = sum(len(split.lengths) for split in (dataset.train, dataset.validation, dataset.test))
    return ExampleArrays(*[jax.ShapeDtypeStruct((count, *a.shape[1:]), a.dtype) for a in dataset.train[:3]])


class ProgramKind(NamedTuple):
    """What programs must know of a task beside the shapes of its examples."""

    objective: Objective
    restart_every: int | None  # steps after which carried states begin anew; None where none is carried


def init_state(model: Any, optimizer: Optimizer, inputs: Any, batch: int | None, key: jax.Array) -> TrainState:
    """Drawn for ``inputs`` of any length; with the carried states of ``batch`` sequences, if given."""
    params = model.init(key, jnp.zeros_like(inputs))["params"]
    carry = () if batch is None else model.initial_state(batch)
    return TrainState(params, optimizer(0.0, 1.0).init(params), jnp.zeros((), jnp.int32), jnp.zeros((), bool), carry)


def _batch(examples: ExampleArrays, indices: jax.Array, weights: jax.Array, length: int) -> Batch:
    labels = examples.labels[indices] if examples.labels.ndim == 1 else examples.labels[indices, :length]
    return Batch(as_numbers(examples.inputs[indices, :length]), examples.lengths[indices], labels, weights)


def as_numbers(inputs: Any) -> Any:
    """Bytes as 0..1, all else as it is."""
    return inputs.astype(np.float32) / 255 if inputs.dtype == np.uint8 else inputs


def train_chunk(
    step: TrainStep,
    logged_step: TrainStep | None,
    length: int,
    knobs: Any,
    examples: Any,
    state: Any,
    indices: Any,
    weights: Any,
    start: Any,
    stop: Any,
    logged: Any,
) -> tuple[TrainState, TrainMetrics, FlatTree | None]:
    """The steps start..stop-1 of a chunk (K, B), cut to ``length``; metrics are (K,), zero outside of them.

    The step ``logged``, if it is one of them, is taken by ``logged_step``, whose log is returned in one piece; else one
    of zeros, or None. It, too, runs in a loop, for there the state is changed in place; and one more around both, so
    that the steps before it and those after it are compiled once.
    """

    def take(step: TrainStep, k: Any, state: Any) -> tuple[TrainState, TrainMetrics, FlatTree | None]:
        state, metrics, found = step(knobs, state, _batch(examples, indices[k], weights[k], length))
        return state, metrics, None if found is None else flatten_tree(found)

    def put(k: Any, metrics: TrainMetrics, new: TrainMetrics) -> TrainMetrics:
        return jax.tree.map(lambda all_steps, value: all_steps.at[k].set(value), metrics, new)

    def plain(k: Any, carry: Any) -> Any:
        state, metrics = carry
        state, new, _ = take(step, k, state)
        return state, put(k, metrics, new)

    nothing = TrainMetrics(*[jnp.zeros(indices.shape[0]) for _ in TrainMetrics._fields])
    if logged_step is None:
        return *jax.lax.fori_loop(start, stop, plain, (state, nothing)), None

    take_logged = jax.jit(partial(take, logged_step), inline=True)  # which traces it once, for its shapes and itself

    def log(k: Any, carry: Any) -> Any:
        state, metrics, _ = carry
        state, new, found = take_logged(k, state)
        return state, put(k, metrics, new), found

    at = jnp.where((start <= logged) & (logged < stop), logged, stop)

    def turn(i: Any, carry: Any) -> Any:  # the first ends with the logged step, the second takes what is left
        state, metrics, found = carry
        first, last = jnp.where(i == 0, start, at + 1), jnp.where(i == 0, at, stop)
        state, metrics = jax.lax.fori_loop(first, last, plain, (state, metrics))
        now = (i == 0) & (at < stop)
        return jax.lax.fori_loop(last, last + now, log, (state, metrics, found))

    *_, shapes = jax.eval_shape(take_logged, start, state)
    turns = jnp.where(at + 1 < stop, 2, 1)
    return jax.lax.fori_loop(0, turns, turn, (state, nothing, jax.tree.map(jnp.zeros_like, shapes)))


def evaluate_chunk(
    step: EvalStep,
    shares: BatchShard,
    length: int,
    params: Any,
    examples: Any,
    indices: Any,
    stop: Any,
) -> tuple[jax.Array, jax.Array]:
    """Losses and correctness of a chunk, each (K, B), zero from batch ``stop`` on."""
    size = indices.shape[1]

    whole = shares.all_gather_rows(params)

    def body(k: Any, carry: Any) -> Any:
        scores, state = carry
        new, state = step.score(whole, _batch(examples, indices[k], jnp.ones(size), length), state)
        return jax.tree.map(lambda all_steps, value: all_steps.at[k].set(value), scores, new), state

    nothing = jnp.zeros(indices.shape), jnp.zeros(indices.shape)
    scores, _ = jax.lax.fori_loop(0, stop, body, (nothing, step.first_state(size)))
    return shares.all_gather(scores, axis=1)
