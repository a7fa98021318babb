"""Steps bundled into programs: several in one compiled loop, over data that already lies on the device."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from rnnjax.capture import Loss
from rnnjax.data.examples import Dataset
from rnnjax.diagnostics.evidence import Origin
from rnnjax.examine import Layer, examine, origin_of
from rnnjax.training.parallel import compile_programs, place
from rnnjax.training.steps import (
    Batch,
    StepLog,
    TrainMetrics,
    TrainState,
    TrainStep,
    make_eval_step,
    make_loss,
    make_train_step,
)


class DeviceExamples(NamedTuple):
    """All splits of a data set one after the other, on the device, so that one program serves each of them."""

    tokens: jax.Array  # (N, L) integers
    lengths: jax.Array  # (N,)
    labels: jax.Array  # (N,)


def on_device(dataset: Dataset) -> DeviceExamples:
    """The arrays that programs read; rows in the order train, validation, test."""
    splits = (dataset.train, dataset.validation, dataset.test)
    tokens, lengths, labels = (np.concatenate([split[i] for split in splits]) for i in range(3))
    return DeviceExamples(place(tokens), place(lengths), place(labels))


class Programs(NamedTuple):
    """One model's compiled programs; all but ``init`` by static length T.

    ``init(key) -> state``.
    ``train[T](key, examples, state, indices, weights, start, stop) -> (state, metrics)`` takes the steps
    start..stop-1 of a chunk (K, B); metrics are (K,), zero outside of them.
    ``log[T](key, examples, state, indices, weights, k) -> (state, metrics, log)`` takes the one step k; metrics
    as above.
    ``evaluate[T](params, examples, indices, stop) -> (losses, correct)``, both of indices' shape, zero from
    batch ``stop`` on.
    ``examine(params, examples, indices) -> (losses, layers)``, both for the rows ``indices`` (B,), with a
    ``rnnjax.examine.Layer`` for each recurrent layer.
    ``origin(params, examples, indices, weights)`` finds the first number of that batch that is not finite; it is
    compiled when it is needed.
    ``train`` and ``log`` reuse the memory of the state they are given.
    """

    init: Callable[[jax.Array], TrainState]
    train: dict[int, Any]
    log: dict[int, Any]
    evaluate: dict[int, Any]
    examine: Any
    origin: Callable[..., Origin]


def build_programs(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    examples: DeviceExamples,
    *,
    lengths: tuple[int, ...],
    train_shape: tuple[int, int],
    eval_shape: tuple[int, int],
    examine_size: int,
    log_gradients: bool,
    omega: float = 0.0,
    flossing: float = 0.0,
) -> Programs:
    """Compile everything that training ``model`` runs, for chunks of (K, B) = ``train_shape`` and ``eval_shape``.

    Without ``log_gradients`` there is nothing in ``log``; ``omega`` and ``flossing`` are the penalties' weights.
    """

    def init(key: jax.Array) -> TrainState:
        params = model.init(key, jnp.zeros((1, 1), jnp.int32))["params"]
        return TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32), jnp.zeros((), bool))

    key, zero = jax.random.key(0), np.int32(0)
    state = jax.eval_shape(init, key)
    chunk = (np.zeros(train_shape, np.int32), np.zeros(train_shape, np.float32))
    step, log_step = (
        make_train_step(model, optimizer, log_gradients=log, omega=omega, flossing=flossing) for log in (False, True)
    )
    examined = np.zeros(examine_size, np.int32)
    functions: dict[Any, Any] = {
        "examine": (partial(_examine, make_loss(model)), (state.params, examples, examined), ()),
        "init": (init, (key,), ()),
    }
    for T in lengths:
        functions["train", T] = partial(_train_chunk, step, T), (key, examples, state, *chunk, zero, zero), (2,)
        if log_gradients:
            functions["log", T] = partial(_log_step, log_step, T), (key, examples, state, *chunk, zero), (2,)
        evaluate = partial(_evaluate_chunk, make_eval_step(model), T)
        functions["evaluate", T] = evaluate, (state.params, examples, np.zeros(eval_shape, np.int32), zero), ()
    compiled = compile_programs(functions)

    def by_length(kind: str) -> dict[int, Any]:
        return {T: compiled[kind, T] for T in lengths if (kind, T) in compiled}

    return Programs(
        init=compiled["init"],
        train=by_length("train"),
        log=by_length("log"),
        evaluate=by_length("evaluate"),
        examine=compiled["examine"],
        origin=partial(_origin, make_loss(model)),
    )


def _batch(examples: DeviceExamples, indices: jax.Array, weights: jax.Array, length: int) -> Batch:
    return Batch(examples.tokens[indices, :length], examples.lengths[indices], examples.labels[indices], weights)


def _examine(loss: Loss, params: Any, examples: Any, indices: Any) -> tuple[jax.Array, tuple[Layer, ...]]:
    batch = _batch(examples, indices, jnp.ones(indices.shape), examples.tokens.shape[1])
    examined = examine(loss, params, batch)
    return examined.losses, examined.layers


def _origin(loss: Loss, params: Any, examples: Any, indices: Any, weights: Any) -> Origin:
    batch = _batch(examples, indices, weights, examples.tokens.shape[1])
    return origin_of(jax.jit(partial(examine, loss))(params, batch))


def _train_chunk(
    step: TrainStep, length: int, key: Any, examples: Any, state: Any, indices: Any, weights: Any, start: Any, stop: Any
) -> tuple[TrainState, TrainMetrics]:
    def body(k: Any, carry: Any) -> Any:
        state, metrics = carry
        state, new, _ = step(key, state, _batch(examples, indices[k], weights[k], length))
        return state, jax.tree.map(lambda all_steps, value: all_steps.at[k].set(value), metrics, new)

    nothing = TrainMetrics(*[jnp.zeros(indices.shape[0]) for _ in TrainMetrics._fields])
    return jax.lax.fori_loop(start, stop, body, (state, nothing))


def _log_step(
    step: TrainStep, length: int, key: Any, examples: Any, state: Any, indices: Any, weights: Any, k: Any
) -> tuple[TrainState, TrainMetrics, StepLog | None]:
    state, metrics, log = step(key, state, _batch(examples, indices[k], weights[k], length))
    return state, jax.tree.map(lambda value: jnp.zeros(indices.shape[0]).at[k].set(value), metrics), log


def _evaluate_chunk(
    step: Callable[..., Any], length: int, params: Any, examples: Any, indices: Any, stop: Any
) -> tuple[jax.Array, jax.Array]:
    def body(k: Any, carry: Any) -> Any:
        scores = step(params, _batch(examples, indices[k], jnp.ones(indices.shape[1]), length))
        return jax.tree.map(lambda all_steps, value: all_steps.at[k].set(value), carry, scores)

    return jax.lax.fori_loop(0, stop, body, (jnp.zeros(indices.shape), jnp.zeros(indices.shape)))
