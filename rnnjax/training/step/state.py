"""What a training step reads, changes and returns, for one member (one run) of an ensemble."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from rnnjax.config.training import TrainingSettings
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.typing import AnyArray, ModelParams, PyTree, States


class Batch(NamedTuple):
    """B examples, cut or padded to T steps."""

    inputs: AnyArray  # (B, T) int32 token ids, or (B, T, D) float32
    lengths: AnyArray  # (B,) int32, valid steps of each example
    labels: AnyArray  # (B,), or (B, T) for a label at every step; see ``Objective``
    weights: AnyArray  # (B,) float32: 1, or 0 for an example that only pads the batch


class TracedHParams(NamedTuple):
    """Hyperparameters that are arguments of a compiled program, so that members with different values share it."""

    key: AnyArray  # (2,) uint32, key data of the run's dropout
    learning_rate: AnyArray  # () the peak of the schedule
    clip: AnyArray  # () largest norm of a gradient, or largest absolute value of its numbers
    omega: AnyArray  # () weight of the regularizer Ω
    flossing: AnyArray  # () weight of gradient flossing


def traced_hparams(settings: TrainingSettings, key: jax.Array) -> TracedHParams:
    """The traced hyperparameters of a run with these settings, its dropout drawn from the typed key ``key``."""
    numbers = (settings.learning_rate, settings.clip, settings.omega, settings.flossing)
    return TracedHParams(jax.random.key_data(key), *[np.float32(number) for number in numbers])


class TrainState(NamedTuple):
    """What a training step changes; with data, hyperparameters and schedule it determines the rest of a run."""

    params: ModelParams
    opt_state: PyTree  # of the Optax transformation
    step: AnyArray  # () int32, training steps taken
    halted: AnyArray  # () bool: a loss or gradient was not finite, and nothing has changed since
    carry: States = ()  # the model's state after the last step, (B, H) arrays; empty unless batches continue each other


STATE_ROLES = TrainState(
    params=ShardingRole.PARAMS,
    opt_state=ShardingRole.PARAMS,
    step=ShardingRole.MEMBER,
    halted=ShardingRole.MEMBER,
    carry=ShardingRole.MEMBER,
)  # how each field is divided over devices


class TrainMetrics(NamedTuple):
    """Means over the examples of one batch, and the norm of the gradient of their mean loss; each ()."""

    loss: jax.Array
    accuracy: jax.Array
    gradient_norm: jax.Array  # global norm over all parameters, before clipping


class StepLog(NamedTuple):
    """What a logged step returns beside its metrics."""

    gradients: PyTree  # the structure of the model's taps, with a ``LagStatistics`` for each state
    updates: dict[str, jax.Array]  # ‖ΔW‖/‖W‖ of each parameter block, by its path


TrainStep = Callable[[TracedHParams, TrainState, Batch], tuple[TrainState, TrainMetrics, StepLog | None]]


class EvalStep(NamedTuple):
    """An evaluation step, what it reads of the parameters, and the model's state before the first batch."""

    prepare: Callable[[ModelParams], ModelParams]  # parameters -> what ``score`` is given of them
    # (params, batch, state) -> ((losses (B,), correctness (B,) in 0..1), state)
    score: Callable[[ModelParams, Batch, States], tuple[tuple[jax.Array, jax.Array], States]]
    initial_state: Callable[[int], States]  # B -> the state before the first batch
