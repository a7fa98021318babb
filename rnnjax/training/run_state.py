"""One run while its group trains: its files, its best parameters so far, and what went wrong with it."""

import os
from pathlib import Path
from typing import Any

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
from rnnjax.training.step.train_step import TrainMetrics

FAILURE = "failure.json"
RESULT = "result.json"


class RunState:
    """A trial's folder while it trains.

    Attributes:
        trial: what it is.
        folder: where it writes.
        writer: of records.
        params: of the best validation, numpy; None before the first.
        best_step: updates taken when they were validated.
        best: (accuracy, -loss) there; the best is that of the larger accuracy, or of the smaller loss where the
            labels are numbers or symbols.
        failure: why it has stopped, a sentence; None as a rule.
    """

    def __init__(
        self,
        trial: RunSpec,
        folder: Path,
        told: dict[str, Any] | None = None,
        *,
        objective: Objective = Objective.BINARY,
    ) -> None:
        """Begin in ``folder``, or go on where ``told``, what ``told()`` said, was true."""
        self.trial, self.folder, self._by_loss = trial, folder, objective in BY_LOSS
        self.params: Any = None
        self.best_step = told["best_step"] if told else 0
        self.best: tuple[float, ...] | None = tuple(told["best"]) if told and told["best"] else None
        self.failure: str | None = told["failure"] if told else None
        folder.mkdir(parents=True, exist_ok=True)
        for name in RECORDS:
            _cut(folder / name, told["bytes"][name] if told else 0)
        after = {RESULT} | (set() if self.failure else {FAILURE, "diverged.json"})
        for name in after | (set() if self.best else {"params.msgpack"}):
            (folder / name).unlink(missing_ok=True)
        step = told["step"] if told else 0
        self.writer = MemberWriter(folder, tensorboard=trial.settings.tensorboard, step=step)

    def told(self, step: int) -> dict[str, Any]:
        """All but the parameters that is needed to go on from ``step``; the records are on disk when it returns."""
        self.writer.sync()
        sizes = {name: (self.folder / name).stat().st_size for name in RECORDS}
        best = list(self.best) if self.best else None
        return {"step": step, "best": best, "best_step": self.best_step, "failure": self.failure, "bytes": sizes}

    def record(self, steps: range, epoch: int, metrics: TrainMetrics, first: int) -> int | None:
        """Write the metrics (K,) of ``steps``, the first of them at place ``first``; the step that diverged, if any."""
        for k, step in enumerate(steps, first):
            loss, accuracy, gradient_norm = (float(values[k]) for values in metrics)
            self.writer.train(step, epoch, loss, accuracy, gradient_norm)
            for what, value in (("loss", loss), ("gradient", gradient_norm)):
                if not np.isfinite(value):
                    self.fail(what, value, f"at step {step}")
                    return step
        return None

    def validate(self, step: int, epoch: int, scores: Scores) -> bool:
        """Write the scores after ``step`` steps; whether they are the best so far."""
        self.writer.validation(step, epoch, scores.loss, scores.accuracy)
        if not np.isfinite(scores.loss):
            self.fail("loss", scores.loss, f"in the validation after step {step - 1}")
            return False
        rank = (scores.accuracy, -scores.loss)
        backwards = -1 if self._by_loss else 1
        if self.best is not None and rank[::backwards] <= self.best[::backwards]:
            return False
        self.best, self.best_step = rank, step
        return True

    def keep(self, params: Any) -> None:
        """Make ``params`` the best ones, here and on disk."""
        self.params = jax.tree.map(np.array, params)
        write_bytes(self.folder / "params.msgpack", flax.serialization.to_bytes(self.params))

    def fail(self, what: str, value: float, when: str) -> None:
        """Note that a number is not finite."""
        self.failure = (
            f"{self.trial.label} (seed {self.trial.seed}): the {what} became {value} {when}; "
            "try a smaller --learning-rate, a smaller --clip above 0, or another initialisation."
        )
        write_json(self.folder / FAILURE, {"message": self.failure})


def outcome(folder: Path) -> str | None:
    """None while a member has not ended, "" if it has a result, else why it has none.

    Raises:
        UserError: the file that says why is damaged.
    """
    if (folder / RESULT).exists():
        return ""
    if not (folder / FAILURE).exists():
        return None
    why = read_json(folder / FAILURE).get("message")
    if not isinstance(why, str):
        raise UserError(f"'{folder / FAILURE}' is damaged, expected a message in it; remove the folder around it.")
    return why


def _cut(path: Path, size: int) -> None:
    """Forget what was written after a checkpoint."""
    if path.exists() or size:
        if not path.exists() or path.stat().st_size < size:
            raise UserError(
                f"'{path}' is shorter than it was at the last checkpoint; restore it, or run without --resume."
            )
        os.truncate(path, size)
