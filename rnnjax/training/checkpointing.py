"""Checkpoints of an ensemble while it trains: when one is due, what it holds, and how training resumes from it."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from rnnjax.config.execution import Execution
from rnnjax.distributed.collectives import broadcast_checkpoint
from rnnjax.runtime.signals import SignalHandler
from rnnjax.training.run_state import RunState
from rnnjax.training.setup import EnsembleSetup, select_member, stack_trees
from rnnjax.training.step.state import STATE_ROLES, TrainState
from rnnjax.typing import JSONObject, ModelParams

if TYPE_CHECKING:
    from rnnjax.runs.checkpoint_store import CheckpointStore


class TrainProgress(NamedTuple):
    """How far an ensemble has been trained; with its programs and data, this determines the rest of the training."""

    step: int  # training steps taken
    state: TrainState  # of M members, on the devices
    seconds: float  # spent in training steps, without compilation and validation


class RestoredProgress(NamedTuple):
    """A checkpoint read back."""

    progress: TrainProgress
    best_params: ModelParams  # of M members, numpy: those of the best validation so far
    metadata: list[JSONObject]  # ``RunState.checkpoint_metadata`` of each member


class CheckpointPolicy:
    """When an ensemble writes checkpoints, and what is in them.

    Args:
        store: of checkpoints; None in a process that does not write them.
        execution: gives the intervals, in steps and in minutes.
        setup: of the ensemble.
        signals: where signals that ask to stop are noted.
    """

    def __init__(
        self, store: "CheckpointStore | None", execution: Execution, setup: EnsembleSetup, signals: SignalHandler
    ) -> None:
        self._store, self._setup, self._signals = store, setup, signals
        self._every, self._seconds = execution.checkpoint_every, 60 * execution.checkpoint_minutes
        self._last_step, self._last_time = 0, time.monotonic()

    def due(self, step: int) -> bool:
        """Whether to save a checkpoint after ``step`` steps: an interval is over, or a signal has asked to stop."""
        by_steps = self._every > 0 and step // self._every > self._last_step // self._every
        by_time = self._seconds > 0 and time.monotonic() - self._last_time >= self._seconds
        return self._signals.poll() or by_steps or by_time

    def save(self, progress: TrainProgress, members: Sequence[RunState]) -> None:
        """Write a checkpoint in the background. If a signal has asked to stop, wait until it is written and stop.

        Raises:
            UserError: this checkpoint or the one before could not be written.
            StoppedError: a signal has asked to stop.
        """
        self._last_step, self._last_time = progress.step, time.monotonic()
        if self._store is not None:
            state = self._setup.layout.fetch(progress.state)
            best = [
                select_member(state.params, i) if member.params is None else member.params
                for i, member in enumerate(members)
            ]
            arrays = {"state": state, "keys": self._setup.keys, "best": stack_trees(best)}
            metadata = [member.checkpoint_metadata(progress.step) for member in members]
            self._store.save(progress.step, arrays, {"seconds": progress.seconds, "members": metadata})
            if self._signals.requested:
                self._store.wait()
        self._signals.stop()

    def wait(self) -> None:
        """Wait until the last checkpoint is durable; UserError where it could not be written."""
        if self._store is not None:
            self._store.wait()

    def restore(self) -> RestoredProgress | None:
        """Read the newest undamaged checkpoint, the same one in every process; None where there is none.

        Raises:
            ValueError: it belongs to runs with other seeds.
        """
        initial_state, keys = self._setup.initial_state, self._setup.keys
        like = {"state": initial_state, "keys": keys, "best": initial_state.params}
        restored = None if self._store is None else self._store.restore(like)
        step, arrays, metadata = broadcast_checkpoint(restored and tuple(restored), like)
        if arrays is None:
            return None
        if not np.array_equal(arrays["keys"], keys):
            raise ValueError("the checkpoint belongs to other seeds than those of this run")
        self._last_step = step
        state = self._setup.layout.put(STATE_ROLES, arrays["state"])
        return RestoredProgress(TrainProgress(step, state, metadata["seconds"]), arrays["best"], metadata["members"])
