"""The programs of an ensemble, compiled before the first step."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import numpy as np

from rnnjax.analysis.capture import Loss
from rnnjax.analysis.measure import LayerMeasurements, measure, nonfinite_origin
from rnnjax.analysis.nonfinite_outputs import hide_nonfinite, show_nonfinite
from rnnjax.cells import Cell, ElementwiseCell
from rnnjax.config.training import TrainingSettings
from rnnjax.diagnostics.alarms.evidence import Origin
from rnnjax.nn.layers import recurrent_layers
from rnnjax.sharding.compilation import DeferredProgram, compile_in_parallel
from rnnjax.sharding.layout import Layout
from rnnjax.sharding.program_spec import ProgramSpec, ShardingRole
from rnnjax.training.cell_measure import CellMeasurements, check_states, measure_cells, nonfinite_origin_of_cells
from rnnjax.training.step.multi_step import ExampleArrays, ProgramKind, evaluate_chunk, init_state, train_chunk
from rnnjax.training.step.optimizer import Optimizer
from rnnjax.training.step.state import STATE_ROLES, Batch, TrainState, traced_hparams
from rnnjax.training.step.train_step import carry_before_step, make_eval_step, make_loss, make_train_step
from rnnjax.typing import ModelParams, PyTree

Program = Callable[..., PyTree]
SingleDevice = tuple[Callable[..., PyTree], tuple[PyTree, ...]]  # a function of one member, and its arguments
Measured = LayerMeasurements | CellMeasurements


class Programs(NamedTuple):
    """The compiled programs of an ensemble.

    ``train`` and ``evaluate`` work on all M members. Their arguments must be put on the devices by the layout, and
    every array has a leading member axis before the axes given here, except examples that all members share:

    ``train(hparams, examples, state, indices, weights, start, stop, logged) -> (state, metrics, log)``: see
    ``multi_step.train_chunk``; the memory of ``state`` is reused.
    ``evaluate(params, examples, indices, stop) -> (losses, correct)``: see ``multi_step.evaluate_chunk``.

    The others work on one member and one device:

    ``init[cell](key) -> state``: the state before the first step.
    ``measure(params, batch) -> (losses, layers)``: (B,), and the measurements of each recurrent layer, those of cells
    that are not elementwise as ``CellMeasurements``; to be given to ``show_nonfinite``.
    ``origin(state, key, batch) -> origin``: where a training step makes the first number that is not finite, with the
    ``key`` of ``TracedHParams``; compiled when it is called.

    The first step needs ``train`` and ``init`` alone. ``evaluate`` and ``measure`` are compiled while a run trains, or
    on a CPU, whose cores are all busy with that, at the first validation.
    """

    train: Program
    evaluate: DeferredProgram
    init: dict[Cell, Callable[[jax.Array], TrainState]]
    measure: DeferredProgram
    origin: Callable[[TrainState, np.ndarray, Batch], Origin]


class ProgramSpecs(NamedTuple):
    """The functions of an ensemble with their arguments, before they are compiled; see ``Programs``."""

    train: ProgramSpec
    evaluate: ProgramSpec
    init: dict[Cell, SingleDevice]
    measure: SingleDevice
    origin: Callable[[TrainState, np.ndarray, Batch], Origin]


def program_specs(
    models: dict[Cell, nn.Module],
    optimizer: Optimizer,
    settings: TrainingSettings,
    layout: Layout,
    examples: ExampleArrays,
    program_kind: ProgramKind,
    *,
    share_examples: bool,
    train_shape: tuple[int, int],
    eval_shape: tuple[int, int],
    diagnosis_batch: Batch,
    episode_words: tuple[int, ...] = (),
    words_once: bool = False,
) -> ProgramSpecs:
    """Describe all programs of an ensemble.

    Args:
        models: cell -> model; they differ in the initialisation of their parameters alone.
        optimizer: from ``make_optimizer``.
        settings: of training; numbers that are in ``TracedHParams`` have no influence beyond whether they are above 0.
        layout: of the members over devices.
        examples: shapes and dtypes of one member's.
        program_kind: what else programs depend on.
        share_examples: whether all members train on the same data set.
        train_shape: (K, B) of a chunk in training, B a batch size of the layout.
        eval_shape: (K, B) of a chunk in evaluation.
        diagnosis_batch: of the shapes and dtypes that ``measure`` will be given.
        episode_words: see ``Dataset``.
        words_once: see ``make_eval_step``.

    Raises:
        ValueError: the states of a cell that is not elementwise cannot be measured, see ``check_states``.
    """
    model = next(iter(models.values()))
    key, zero = jax.random.key(0), np.int32(0)
    inputs = diagnosis_batch.inputs[:1, :1]
    carry_size = settings.batch_size if program_kind.restart_every else None
    inits = {cell: partial(init_state, models[cell], optimizer, inputs, carry_size) for cell in models}
    state = jax.eval_shape(next(iter(inits.values())), key)
    if not is_elementwise(model):
        check_states(model, state.params, diagnosis_batch)
    hparams = jax.eval_shape(lambda: traced_hparams(settings, key))
    examples_role = ShardingRole.SHARED if share_examples else ShardingRole.MEMBER
    shard = layout.batch_shard(state.params)

    chunk = (np.zeros(train_shape, np.int32), np.zeros(train_shape, np.float32))
    train_arguments = (hparams, examples, state, *chunk, zero, zero, zero)
    train_roles = (
        ShardingRole.MEMBER, examples_role, STATE_ROLES, ShardingRole.BATCH, ShardingRole.BATCH,
        ShardingRole.SHARED, ShardingRole.SHARED, ShardingRole.SHARED,
    )  # fmt: skip
    make_step = partial(make_train_step, model, optimizer, settings, **program_kind._asdict(), shard=shard)
    step = make_step(log_gradients=False)
    logged_step = make_step(log_gradients=True) if settings.log_gradients_every > 0 else None
    eval_step = make_eval_step(model, **program_kind._asdict(), words_once=words_once)
    eval_arguments = (state.params, examples, np.zeros(eval_shape, np.int32), zero)
    eval_roles = (ShardingRole.PARAMS, examples_role, ShardingRole.BATCH, ShardingRole.SHARED)

    train = partial(train_chunk, step, logged_step)
    evaluate = partial(evaluate_chunk, eval_step, shard)
    measure_layers = partial(_measure_layers, model, make_loss(model, program_kind.objective), episode_words)
    return ProgramSpecs(
        train=ProgramSpec(train, train_roles, train_arguments, results_like=(2, None, None), donate_argnums=(2,)),
        evaluate=ProgramSpec(evaluate, eval_roles, eval_arguments, results_like=(None, None)),
        init={cell: (init, (key,)) for cell, init in inits.items()},
        measure=(measure_layers, (state.params, diagnosis_batch)),
        origin=partial(_origin, model, program_kind),
    )


def build_programs(specs: ProgramSpecs, layout: Layout) -> Programs:
    """Compile all programs of an ensemble; ``layout`` is that of its members over devices."""
    inits = {f"init {i}": init for i, init in enumerate(specs.init.values())}
    compiled = compile_in_parallel(layout, {"train": specs.train}, inits)
    measure_layers, measure_arguments = specs.measure
    later = (
        DeferredProgram(lambda: layout.lower(specs.evaluate)),
        DeferredProgram(lambda: jax.jit(measure_layers).lower(*measure_arguments).compile),
    )
    if jax.devices()[0].platform != "cpu":
        for program in later:
            program.compile_in_background()
    return Programs(
        train=compiled["train"],
        evaluate=later[0],
        init={cell: compiled[name] for cell, name in zip(specs.init, inits, strict=True)},
        measure=later[1],
        origin=specs.origin,
    )


def _measure_layers(
    model: nn.Module, loss: Loss, episode_words: tuple[int, ...], params: ModelParams, batch: Batch
) -> tuple[jax.Array, tuple[Measured, ...]]:
    begins = jax.numpy.isin(batch.inputs, jax.numpy.array(episode_words)).T if episode_words else None
    if is_elementwise(model):
        measurements = measure(loss, params, batch, begins)
        return hide_nonfinite((measurements.losses, measurements.layers))
    return hide_nonfinite(measure_cells(model, loss, params, batch, jax.numpy.asarray(batch.lengths), begins))


def is_elementwise(model: nn.Module) -> bool:
    """Whether the recurrent layers of a model have elementwise cells, whose equations the diagnostics know."""
    layers = recurrent_layers(model)
    return all(isinstance(layer.cell, ElementwiseCell) for _, layer in layers)


def _origin(model: nn.Module, program_kind: ProgramKind, state: TrainState, key: np.ndarray, batch: Batch) -> Origin:
    carry = carry_before_step(model, state, program_kind.restart_every, key, jax.numpy.arange(len(batch.weights)))
    loss = make_loss(model, program_kind.objective, carry)
    if is_elementwise(model):
        measured = jax.jit(lambda params, batch: hide_nonfinite(measure(loss, params, batch)))(state.params, batch)
        return nonfinite_origin(show_nonfinite(measured))
    cells = jax.jit(partial(_measure_layers, model, loss, ()))(state.params, batch)
    return nonfinite_origin_of_cells(*show_nonfinite(cells))
