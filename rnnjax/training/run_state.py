"""The state of one run while its ensemble trains: its files, its best parameters so far, and its failure if any."""

import os
from pathlib import Path

import flax.serialization
import jax
import numpy as np

from rnnjax.data.dataset import Objective
from rnnjax.errors import UserError
from rnnjax.runs.json_io import read_json, write_bytes, write_json
from rnnjax.runs.writer import RECORDS, MemberWriter
from rnnjax.training.evaluate import Scores
from rnnjax.training.run_spec import RunSpec
from rnnjax.training.step.losses import BY_LOSS
from rnnjax.training.step.state import TrainMetrics
from rnnjax.typing import JSONObject, ModelParams

FAILURE = "failure.json"
RESULT = "result.json"


class RunState:
    """One run, and its folder, while it trains.

    Args:
        spec: of the run.
        folder: of the run; created where it does not exist.
        metadata: what ``checkpoint_metadata`` returned, to resume from that checkpoint: everything that was written
            after it is removed. None starts the run anew and removes what an earlier attempt has left.
        objective: the kind of label.

    Attributes:
        spec: of the run.
        folder: of the run.
        writer: of records.
        params: of the best validation, numpy; None before the first.
        best_step: training steps taken at the best validation.
        best: (accuracy, -loss) of the best validation: the one with the largest accuracy, or with the smallest loss
            where labels are numbers or symbols; None before the first.
        failure: a sentence that gives the reason why the run has stopped early; None unless it has.
    """

    def __init__(
        self,
        spec: RunSpec,
        folder: Path,
        metadata: JSONObject | None = None,
        *,
        objective: Objective = Objective.BINARY,
    ) -> None:
        self.spec, self.folder, self._by_loss = spec, folder, objective in BY_LOSS
        self.params: ModelParams | None = None
        self.best_step = metadata["best_step"] if metadata else 0
        self.best: tuple[float, ...] | None = tuple(metadata["best"]) if metadata and metadata["best"] else None
        self.failure: str | None = metadata["failure"] if metadata else None
        folder.mkdir(parents=True, exist_ok=True)
        for name in RECORDS:
            _truncate(folder / name, metadata["bytes"][name] if metadata else 0)
        obsolete = {RESULT} | (set() if self.failure else {FAILURE, "diverged.json"})
        for name in obsolete | (set() if self.best else {"params.msgpack"}):
            (folder / name).unlink(missing_ok=True)
        step = metadata["step"] if metadata else 0
        self.writer = MemberWriter(folder, tensorboard=spec.settings.tensorboard, step=step)

    def checkpoint_metadata(self, step: int) -> JSONObject:
        """What resuming from ``step`` needs beside the parameters, as JSON; flushes the records to disk first."""
        self.writer.sync()
        sizes = {name: (self.folder / name).stat().st_size for name in RECORDS}
        best = list(self.best) if self.best else None
        return {"step": step, "best": best, "best_step": self.best_step, "failure": self.failure, "bytes": sizes}

    def record(self, steps: range, epoch: int, metrics: TrainMetrics, first: int) -> int | None:
        """Write the metrics of training steps, up to the first that is not finite.

        Args:
            steps: of the run.
            epoch: which they are in.
            metrics: (K,) of a chunk.
            first: position in ``metrics`` of the first of the steps.

        Returns:
            the step whose loss or gradient is not finite, None if all are.
        """
        for k, step in enumerate(steps, first):
            loss, accuracy, gradient_norm = (float(values[k]) for values in metrics)
            self.writer.train(step, epoch, loss, accuracy, gradient_norm)
            for quantity, value in (("loss", loss), ("gradient", gradient_norm)):
                if not np.isfinite(value):
                    self.fail(quantity, value, f"at step {step}")
                    return step
        return None

    def validate(self, step: int, epoch: int, scores: Scores) -> bool:
        """Write the validation scores after ``step`` steps; returns whether they are the best so far."""
        self.writer.validation(step, epoch, scores.loss, scores.accuracy)
        if not np.isfinite(scores.loss):
            self.fail("loss", scores.loss, f"in the validation after step {step - 1}")
            return False
        rank = (scores.accuracy, -scores.loss)
        order = -1 if self._by_loss else 1  # compares the loss first, or the accuracy
        if self.best is not None and rank[::order] <= self.best[::order]:
            return False
        self.best, self.best_step = rank, step
        return True

    def keep(self, params: ModelParams) -> None:
        """Keep a copy of ``params`` as the best ones, in memory and on disk."""
        self.params = jax.tree.map(np.array, params)
        write_bytes(self.folder / "params.msgpack", flax.serialization.to_bytes(self.params))

    def fail(self, quantity: str, value: float, when: str) -> None:
        """End the run with a failure because the ``quantity``, "loss" or "gradient", is not finite."""
        self.failure = (
            f"{self.spec.label} (seed {self.spec.seed}): the {quantity} became {value} {when}; "
            "try a smaller --learning-rate, a smaller --clip above 0, or another initialisation."
        )
        write_json(self.folder / FAILURE, {"message": self.failure})


def outcome(folder: Path) -> str | None:
    """The outcome of a run: None while it has not ended, "" if it has a result, else the reason of its failure.

    Raises:
        UserError: the file with the reason is damaged.
    """
    if (folder / RESULT).exists():
        return ""
    if not (folder / FAILURE).exists():
        return None
    why = read_json(folder / FAILURE).get("message")
    if not isinstance(why, str):
        raise UserError(f"'{folder / FAILURE}' is damaged, expected a message in it; remove the folder around it.")
    return why


def _truncate(path: Path, size: int) -> None:
    """Remove from a file of records what was written after a checkpoint, when it had ``size`` bytes."""
    if path.exists() or size:
        if not path.exists() or path.stat().st_size < size:
            raise UserError(
                f"'{path}' is shorter than it was at the last checkpoint; restore it, or run without --resume."
            )
        os.truncate(path, size)
