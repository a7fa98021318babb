"""Bundles of steps compiled to programs."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from rnnjax.analysis.capture import Loss
from rnnjax.analysis.measure import LayerMeasurements, measure, nonfinite_origin
from rnnjax.config.training import TrainingSettings
from rnnjax.diagnostics.alarms.evidence import Origin
from rnnjax.sharding.devices import compile_in_parallel
from rnnjax.sharding.layout import Layout
from rnnjax.sharding.program_spec import ProgramSpec, ShardingRole
from rnnjax.training.step.multi_step import ExampleArrays, ProgramKind, evaluate_chunk, init_state, train_chunk
from rnnjax.training.step.optimizer import Optimizer
from rnnjax.training.step.train_step import (
    STATE,
    Batch,
    TrainState,
    carried_in,
    make_eval_step,
    make_loss,
    make_train_step,
    traced_hparams,
)


class Programs(NamedTuple):
    """The compiled programs of members that train together; the first two by static length T.

    ``train[T](knobs, examples, state, indices, weights, start, stop, logged) -> (state, metrics, log)`` takes the steps
    start..stop-1 of a chunk (K, B) and logs the one that is ``logged``, -1 for none; metrics are (K,), zero outside of
    the steps; the log is ``Packed``, or None where none is wanted in the whole run.
    ``evaluate[T](params, examples, indices, stop) -> (losses, correct)``, both of indices' shape, zero from
    batch ``stop`` on.
    These take arrays that the layout has put into place, and every array has an axis for the members before the
    ones named here; ``train`` reuses the memory of the state it is given. The others are for one member:

    ``init[cell](key) -> state``.
    ``measure(params, batch) -> (losses, layers)`` with a ``rnnjax.analysis.measure.Layer`` for each recurrent layer.
    ``origin(state, batch)`` finds the first number that is not finite in a step; it is compiled when it is needed.
    """

    train: dict[int, Any]
    evaluate: dict[int, Any]
    init: dict[Any, Callable[[jax.Array], TrainState]]
    measure: Any
    origin: Callable[[TrainState, Batch], Origin]


def build_programs(
    models: dict[Any, Any],
    optimizer: Optimizer,
    settings: TrainingSettings,
    layout: Layout,
    examples: ExampleArrays,
    kind: ProgramKind,
    *,
    lengths: Sequence[int],
    share_examples: bool,
    train_shape: tuple[int, int],
    eval_shape: tuple[int, int],
    examined: Batch,
) -> Programs:
    """Compile everything that training runs.

    Args:
        models: cell -> model; they differ in their initial parameters alone.
        optimizer: from ``make_optimizer``.
        settings: of training; what ``Knobs`` holds is not read.
        layout: of the members.
        examples: shapes and dtypes of any member's.
        kind: of the task.
        lengths: static lengths T.
        share_examples: whether all members read the same examples.
        train_shape: (K, B) of chunks for training, B a number that the layout divides.
        eval_shape: likewise for evaluation.
        examined: a batch to be examined, for its shapes.
    """
    model = next(iter(models.values()))
    key, zero = jax.random.key(0), np.int32(0)
    one, batch = examined.inputs[:1, :1], settings.batch_size if kind.restart_every else None
    starts = {cell: partial(init_state, own, optimizer, one, batch) for cell, own in models.items()}
    state = jax.eval_shape(next(iter(starts.values())), key)
    knobs = jax.eval_shape(lambda: traced_hparams(settings, key))
    chunk = (np.zeros(train_shape, np.int32), np.zeros(train_shape, np.float32))
    reads = ShardingRole.SHARED if share_examples else ShardingRole.MEMBER
    shares = layout.batch_shard(state.params)
    roles = (
        ShardingRole.MEMBER,
        reads,
        STATE,
        ShardingRole.BATCH,
        ShardingRole.BATCH,
        ShardingRole.SHARED,
        ShardingRole.SHARED,
        ShardingRole.SHARED,
    )
    arguments = (knobs, examples, state, *chunk, zero, zero, zero)
    step, logged_step = (
        make_train_step(model, optimizer, settings, log_gradients=log, **kind._asdict(), shares=shares)
        for log in (False, True)
    )
    logs = logged_step if settings.log_gradients_every > 0 else None
    tasks: dict[Any, ProgramSpec] = {}
    for T in lengths:
        train = partial(train_chunk, step, logs, T)
        tasks["train", T] = ProgramSpec(train, roles, arguments, results_like=(2, None, None), donate_argnums=(2,))
        evaluate = partial(evaluate_chunk, make_eval_step(model, **kind._asdict()), shares, T)
        eval_roles = (ShardingRole.PARAMS, reads, ShardingRole.BATCH, ShardingRole.SHARED)
        eval_arguments = (state.params, examples, np.zeros(eval_shape, np.int32), zero)
        tasks["evaluate", T] = ProgramSpec(evaluate, eval_roles, eval_arguments, results_like=(None, None))
    alone: dict[Any, Any] = {("init", cell): (start, (key,)) for cell, start in starts.items()}
    alone["examine", 0] = partial(_examine, make_loss(model, kind.objective)), (state.params, examined)
    compiled = compile_in_parallel(layout, tasks, alone)

    def named(what: str) -> dict[Any, Any]:
        return {name[1]: program for name, program in compiled.items() if name[0] == what}

    return Programs(
        train=named("train"),
        evaluate=named("evaluate"),
        init=named("init"),
        measure=compiled["examine", 0],
        origin=partial(_origin, model, kind),
    )


def _examine(loss: Loss, params: Any, batch: Batch) -> tuple[jax.Array, tuple[LayerMeasurements, ...]]:
    examined = measure(loss, params, batch)
    return examined.losses, examined.layers


def _origin(model: Any, kind: ProgramKind, state: TrainState, batch: Batch) -> Origin:
    carry = carried_in(state, kind.restart_every, jax.numpy.arange(len(batch.weights)))
    return nonfinite_origin(jax.jit(partial(measure, make_loss(model, kind.objective, carry)))(state.params, batch))
