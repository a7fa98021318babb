"""What lets a group of runs survive being killed: checkpoints in time, and one when a signal asks to stop."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rnnjax.config.execution import Execution
from rnnjax.distributed.collectives import broadcast_checkpoint
from rnnjax.runtime.signals import SignalHandler
from rnnjax.training.run_state import RunState
from rnnjax.training.setup import EnsembleSetup, select_member, stack_trees
from rnnjax.training.step.train_step import STATE, TrainState

if TYPE_CHECKING:
    from rnnjax.runs.checkpoint_store import CheckpointStore


class TrainProgress(NamedTuple):
    """How far a group has come: with its programs and data, this determines all that follows."""

    step: int  # steps taken
    state: TrainState  # of M members, put into place
    seconds: float  # that the steps took: no compiling, no validation


class RestoredProgress(NamedTuple):
    """A checkpoint read back."""

    progressed: TrainProgress
    params: Any  # (M, ...) numpy, the best so far
    told: list[dict[str, Any]]  # what each member said


class CheckpointPolicy:
    """Checkpoints of one group.

    Args:
        store: where they lie; None where another process keeps them.
        execution: how often.
        prepared: the group.
        stopping: where signals are noted.
    """

    def __init__(
        self, store: "CheckpointStore | None", execution: Execution, prepared: EnsembleSetup, stopping: SignalHandler
    ) -> None:
        self._store, self._prepared, self._stopping = store, prepared, stopping
        self._every, self._seconds = execution.checkpoint_every, 60 * execution.checkpoint_minutes
        self._last_step, self._last_time = 0, time.monotonic()

    def due(self, step: int) -> bool:
        """Whether a checkpoint after ``step`` steps is wanted, by the flags or by a signal."""
        by_steps = self._every > 0 and step // self._every > self._last_step // self._every
        by_time = self._seconds > 0 and time.monotonic() - self._last_time >= self._seconds
        return self._stopping.poll() or by_steps or by_time

    def save(self, progressed: TrainProgress, members: Sequence[RunState]) -> None:
        """Write a checkpoint in the background; if a signal has come, wait for it and stop.

        Raises:
            UserError: this one or the one before could not be written.
            StoppedError: a signal has come.
        """
        self._last_step, self._last_time = progressed.step, time.monotonic()
        if self._store is not None:
            state = self._prepared.layout.fetch(progressed.state)
            best = [
                select_member(state.params, i) if member.params is None else member.params
                for i, member in enumerate(members)
            ]
            arrays = {"state": state, "keys": self._prepared.keys, "best": stack_trees(best)}
            told = [member.told(progressed.step) for member in members]
            self._store.save(progressed.step, arrays, {"seconds": progressed.seconds, "members": told})
            if self._stopping.requested:
                self._store.wait()
        self._stopping.stop()

    def wait(self) -> None:
        """Until the last checkpoint is durable."""
        if self._store is not None:
            self._store.wait()

    def restore(self) -> RestoredProgress | None:
        """The newest whole checkpoint, the same for all processes."""
        fresh, keys = self._prepared.fresh, self._prepared.keys
        like = {"state": fresh, "keys": keys, "best": fresh.params}
        found = None if self._store is None else self._store.restore(like)
        step, arrays, told = broadcast_checkpoint(found and tuple(found), like)
        if arrays is None:
            return None
        if not np.array_equal(arrays["keys"], keys):
            raise ValueError("the checkpoint holds other keys than the seeds of this run give")
        self._last_step = step
        state = self._prepared.layout.put(STATE, arrays["state"])
        return RestoredProgress(TrainProgress(step, state, told["seconds"]), arrays["best"], told["members"])
