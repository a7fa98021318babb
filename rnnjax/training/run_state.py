"""One run while its group trains: its files, its best parameters so far, and what went wrong with it."""

from pathlib import Path
from typing import Any

import flax.serialization
import jax
import numpy as np

from rnnjax.data.dataset import Objective
from rnnjax.runs.schema import RECORDS
from rnnjax.runs.writer import MemberWriter, rewind_member
from rnnjax.training.evaluate import Scores
from rnnjax.training.run_spec import RunSpec
from rnnjax.training.step.losses import BY_LOSS
from rnnjax.training.step.train_step import TrainMetrics


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
        sizes = told["bytes"] if told else dict.fromkeys(RECORDS, 0)
        rewind_member(folder, sizes, failed=self.failure is not None, validated=self.best is not None)
        step = told["step"] if told else 0
        self.writer = MemberWriter(folder, tensorboard=trial.settings.tensorboard, step=step)

    def told(self, step: int) -> dict[str, Any]:
        """All but the parameters that is needed to go on from ``step``; the records are on disk when it returns."""
        sizes = self.writer.sync()
        best = list(self.best) if self.best else None
        return {"step": step, "best": best, "best_step": self.best_step, "failure": self.failure, "bytes": sizes}

    def record(self, steps: range, epoch: int, metrics: TrainMetrics, first: int) -> int | None:
        """Write the metrics (K,) of ``steps``, the first of them at place ``first``; the step that diverged, if any."""
        for k, step in enumerate(steps, first):
            loss, accuracy, gradient_norm = (float(values[k]) for values in metrics)
            self.writer.append_train(step, epoch, loss, accuracy, gradient_norm)
            for what, value in (("loss", loss), ("gradient", gradient_norm)):
                if not np.isfinite(value):
                    self.fail(what, value, f"at step {step}")
                    return step
        return None

    def validate(self, step: int, epoch: int, scores: Scores) -> bool:
        """Write the scores after ``step`` steps; whether they are the best so far."""
        self.writer.append_validation(step, epoch, scores.loss, scores.accuracy)
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
        self.writer.write_params(flax.serialization.to_bytes(self.params))

    def fail(self, what: str, value: float, when: str) -> None:
        """Note that a number is not finite."""
        self.failure = (
            f"{self.trial.label} (seed {self.trial.seed}): the {what} became {value} {when}; "
            "try a smaller --learning-rate, a smaller --clip above 0, or another initialisation."
        )
        self.writer.write_failure(self.failure)
