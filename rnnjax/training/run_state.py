"""The state of one run while its ensemble trains: its files, its best parameters so far, and its failure if any."""

from pathlib import Path

import flax.serialization
import jax
import numpy as np

from rnnjax.data.dataset import Objective
from rnnjax.runs.schema import RECORDS, diagnosis_file
from rnnjax.runs.writer import MemberWriter, rewind_member
from rnnjax.training.evaluate import Scores
from rnnjax.training.run_spec import RunSpec
from rnnjax.training.step.losses import BY_LOSS
from rnnjax.training.step.state import TrainMetrics
from rnnjax.typing import JSONObject, ModelParams


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
        diagnosed_at_start: whether the diagnosis before training has been written.
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
        self.diagnosed_at_start = metadata is not None and diagnosis_file(folder, "start").exists()
        sizes = metadata["bytes"] if metadata else dict.fromkeys(RECORDS, 0)
        rewind_member(folder, sizes, failed=self.failure is not None, validated=self.best is not None)
        step = metadata["step"] if metadata else 0
        self.writer = MemberWriter(folder, tensorboard=spec.settings.tensorboard, step=step)

    def checkpoint_metadata(self, step: int) -> JSONObject:
        """What resuming from ``step`` needs beside the parameters, as JSON; flushes the records to disk first."""
        sizes = self.writer.sync()
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
            self.writer.append_train(step, epoch, loss, accuracy, gradient_norm)
            for quantity, value in (("loss", loss), ("gradient", gradient_norm)):
                if not np.isfinite(value):
                    self.fail(quantity, value, f"at step {step}")
                    return step
        return None

    def validate(self, step: int, epoch: int, scores: Scores) -> bool:
        """Write the validation scores after ``step`` steps; returns whether they are the best so far."""
        self.writer.append_validation(step, epoch, scores.loss, scores.accuracy, scores.errors)
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
        self.writer.write_params(flax.serialization.to_bytes(self.params))

    def fail(self, quantity: str, value: float, when: str) -> None:
        """End the run with a failure because the ``quantity``, "loss" or "gradient", is not finite."""
        self.failure = (
            f"{self.spec.label} (seed {self.spec.seed}): the {quantity} became {value} {when}; "
            "try a smaller --learning-rate, a smaller --clip above 0, or another initialisation."
        )
        self.writer.write_failure(self.failure)
