"""Everything that is written into a run folder: what all members share, and what each of them writes as it trains."""

import os
from collections.abc import Mapping
from pathlib import Path

import jax
import msgspec
import numpy as np

from rnnjax.analysis.diagnosis import Diagnosis
from rnnjax.diagnostics import QUANTILES, LagStatistics
from rnnjax.diagnostics.alarms.evidence import Origin
from rnnjax.errors import UserError
from rnnjax.regular_files import check_no_link, check_regular
from rnnjax.runs import schema
from rnnjax.runs.codec import encode, round_floats
from rnnjax.runs.json_io import RecordWriter, write_bytes, write_json
from rnnjax.runs.member_schema import (
    Divergence,
    Failure,
    GradientRecord,
    MemberInfo,
    MetricsRecord,
    ModelRecord,
    RegressionErrors,
    RunResult,
    TrainRecord,
    UpdateRecord,
    ValidationRecord,
)
from rnnjax.runs.reader import read_vocabulary
from rnnjax.runs.schema import RECORDS, Config, Environment, Stage, TaskInfo
from rnnjax.runs.tensorboard import EventWriter
from rnnjax.typing import PyTree


def write_config(run: Path, config: Config) -> None:
    """Write what is to be trained."""
    write_json(run / schema.CONFIG, config)


def write_environment(run: Path, environment: Environment) -> None:
    """Write on what the run is trained."""
    write_json(run / schema.ENVIRONMENT, schema.environment_to_json(encode(environment)))


def write_task(run: Path, task: TaskInfo) -> None:
    """Write what is learnt, unless a member before has."""
    if not os.path.lexists(run / schema.TASK):
        write_json(run / schema.TASK, task)


def write_vocabulary(run: Path, member: Path, vocabulary: tuple[str, ...]) -> None:
    """Write id -> word or symbol, unless it is empty or a member before has; another one than that, for ``member``."""
    if vocabulary and not os.path.lexists(run / schema.VOCABULARY):
        write_json(run / schema.VOCABULARY, vocabulary)
    elif vocabulary and read_vocabulary(run) != vocabulary:
        write_json(member / schema.VOCABULARY, vocabulary)


def rewind_member(folder: Path, sizes: Mapping[str, int], *, failed: bool, validated: bool) -> None:
    """Make a member's folder what it was at a checkpoint, or, at its beginning, one without records.

    Args:
        folder: made where it does not exist.
        sizes: bytes of each of ``RECORDS`` at the checkpoint; what was appended later is cut off.
        failed: whether the member had failed by then.
        validated: whether it had been validated by then; else there were no best parameters.

    Raises:
        UserError: a file is shorter than it was at the checkpoint.
        OSError: the folder or a file in it is a symbolic link, or cannot be written.
    """
    check_no_link(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in RECORDS:
        _truncate(folder / name, sizes[name])
    later = {schema.RESULT}
    later |= set() if failed else {schema.FAILURE, schema.DIVERGENCE}
    later |= set() if validated else {schema.PARAMS}
    for name in later:
        (folder / name).unlink(missing_ok=True)


def _truncate(path: Path, size: int) -> None:
    check_regular(path)
    if path.exists() or size:
        if not path.exists() or path.stat().st_size < size:
            raise UserError(
                f"'{path}' is shorter than it was at the last checkpoint; restore it, or remove the run folder and run "
                "again."
            )
        os.truncate(path, size)


class MemberWriter:
    """Writes the records of one member into ``folder``, and appends to those that grow from ``step`` on.

    With ``tensorboard``, the same numbers go to event files under ``folder/tensorboard``.
    """

    def __init__(self, folder: Path, *, tensorboard: bool, step: int = 0) -> None:
        if tensorboard:
            check_no_link(folder / "tensorboard")
        self._folder = folder
        self._metrics, self._gradients = (RecordWriter(folder / name) for name in RECORDS)
        self._events = EventWriter(folder / "tensorboard", step) if tensorboard else None
        self._decays = True  # see ``MemberInfo.last_step_only``

    def write_info(self, info: MemberInfo) -> None:
        """Write what the member is; without it no reader takes the folder for a member that has begun."""
        self._decays = info.last_step_only is not False
        write_json(self._folder / schema.MEMBER, info)

    def write_model(self, model: ModelRecord) -> None:
        """Write what is needed to use the trained model."""
        write_json(self._folder / schema.MODEL, model)

    def append_train(self, step: int, epoch: int, loss: float, accuracy: float, gradient_norm: float) -> None:
        """Append one training step, see ``TrainRecord``."""
        self._append(TrainRecord(step=step, epoch=epoch, loss=loss, accuracy=accuracy, gradient_norm=gradient_norm))

    def append_validation(
        self, step: int, epoch: int, loss: float, accuracy: float, errors: RegressionErrors | None = None
    ) -> None:
        """Append one validation, see ``ValidationRecord``."""
        of_numbers = errors or msgspec.UNSET
        self._append(ValidationRecord(step=step, epoch=epoch, loss=loss, accuracy=accuracy, errors=of_numbers))

    def append_logged_step(self, step: int, epoch: int, gradients: PyTree, updates: Mapping[str, PyTree]) -> None:
        """Append what is logged of a step in addition.

        Args:
            step: updates before it.
            epoch: from 0.
            gradients: the structure of the model's taps, with a ``LagStatistics`` for each state.
            updates: ‖ΔW‖/‖W‖ of each parameter block, by its path.
        """
        ratios = {block: float(ratio) for block, ratio in updates.items()}
        self._append(UpdateRecord(step=step, epoch=epoch, ratios=ratios))
        for record in gradient_records(step, gradients):
            self.append_gradient(record)

    def append_gradient(self, record: GradientRecord) -> None:
        """Append the gradient of one state at a logged step."""
        self._gradients.append(record)
        if self._events is not None:
            self._events.add_gradients(record, decays=self._decays)

    def _append(self, record: MetricsRecord) -> None:
        self._metrics.append(record)
        if self._events is not None:
            self._events.add_metrics(record)

    def write_params(self, params: bytes) -> None:
        """Write the best parameters, as ``flax.serialization.to_bytes`` gives them."""
        write_bytes(self._folder / schema.PARAMS, params)

    def write_diagnosis(self, stage: Stage, diagnosis: Diagnosis) -> None:
        """Write a diagnosis with five significant digits of every number."""
        write_json(schema.diagnosis_file(self._folder, stage), round_floats(encode(diagnosis)))

    def write_result(self, result: RunResult) -> None:
        """Write what the member achieved."""
        write_json(self._folder / schema.RESULT, result)

    def write_failure(self, message: str) -> None:
        """Write why the member stops, one sentence."""
        write_json(self._folder / schema.FAILURE, Failure(message))

    def write_divergence(self, origin: Origin) -> None:
        """Write where the first number that is not finite was made."""
        write_json(self._folder / schema.DIVERGENCE, Divergence(**origin._asdict()))

    def sync(self) -> dict[str, int]:
        """Make all that was appended durable; the bytes of each of ``RECORDS``."""
        return {writer.path.name: writer.sync() for writer in (self._metrics, self._gradients)}

    def close(self) -> None:
        """Close the files."""
        self._metrics.close()
        self._gradients.close()
        if self._events is not None:
            self._events.close()


def gradient_records(step: int, gradients: PyTree) -> list[GradientRecord]:
    """Records of one logged step.

    Args:
        step: number of updates before it, 0 for the first step.
        gradients: what a logging train step returns: the structure of the model's taps, with a
            ``LagStatistics`` for each state.

    Returns:
        One record for each state of each layer, bottom layer 0. The arrays end at the last lag that an example reaches.
    """
    leaves = jax.tree_util.tree_leaves_with_path(gradients, is_leaf=lambda node: isinstance(node, LagStatistics))
    layers: dict[PyTree, int] = {}
    records = []
    for path, statistics in leaves:
        layer = layers.setdefault(path[:-1], len(layers))
        records.append(gradient_record(step, layer, path[-1].name, statistics))
    return records


def gradient_record(
    step: int, layer: int, state: str, statistics: LagStatistics, name: str | msgspec.UnsetType = msgspec.UNSET
) -> GradientRecord:
    """The record of one state at a logged step, see ``GradientRecord``; it ends at the last lag that an example has."""
    count, mean, quantiles = jax.tree.map(np.asarray, tuple(statistics))
    lags = int(np.max(np.flatnonzero(count), initial=-1)) + 1
    curves = {"mean": mean, **{f"q{round(100 * q)}": curve for q, curve in zip(QUANTILES, quantiles, strict=True)}}
    return GradientRecord(
        step=step,
        layer=layer,
        state=state,
        name=name,
        count=count[:lags].astype(np.int64),
        **{name: curve[:lags].astype(np.float64) for name, curve in curves.items()},
    )
