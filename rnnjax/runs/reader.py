"""Everything that is read from a run folder; whatever in it is damaged becomes one sentence for the user.

Every function here raises UserError where a file cannot be read or holds something else than a run writes there; the
message names the file, the line in it, and the field. Symbolic links inside the folder, pipes and devices are not read.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from rnnjax.analysis.diagnosis import QUANTILE_NAMES, Diagnosis, LagQuantiles, LayerDiagnosis
from rnnjax.data.dataset import Objective
from rnnjax.diagnostics.alarms.evidence import Origin
from rnnjax.errors import UserError
from rnnjax.regular_files import check_no_link
from rnnjax.runs import schema
from rnnjax.runs.codec import decode, encode
from rnnjax.runs.json_io import read_json, read_records, reading
from rnnjax.runs.member_schema import (
    Divergence,
    Failure,
    GradientRecord,
    MemberInfo,
    MetricsRecord,
    ModelRecord,
    RunResult,
    TrainRecord,
    UpdateRecord,
    ValidationRecord,
)
from rnnjax.runs.run_record import GradientLog, Run, RunRecord, ScoreHistory, UpdateHistory
from rnnjax.runs.schema import Config, Environment, Stage, TaskInfo
from rnnjax.typing import JSONObject

PARTIAL = ".partial"  # ends the name of a member's folder while a merge copies it
CURVES = ("count", "mean", "q10", "q50", "q90")


def load_run(path: Path) -> Run:
    """Read a run folder, finished or killed at any time."""
    config = read_config(path)
    environment = read_environment(path)
    task = read_task(path)
    folders = member_folders(path)
    started = dict.fromkeys(folder for folder in folders if os.path.lexists(folder / schema.MEMBER))
    members = [read_member(folder, task, config.flags) for folder in started]
    return Run(
        path=path,
        experiment=config.experiment,
        flags=config.flags,
        environment=schema.environment_to_json(encode(environment)),
        members=tuple(sorted(members, key=lambda member: (member.parameters or 0, member.label, member.seed))),
        not_started=tuple(folder.name for folder in folders if folder not in started),
        task=task,
    )


def is_run_folder(path: Path) -> bool:
    """Whether a run has been started in the folder; its config is the last file that a start writes."""
    return os.path.lexists(path / schema.CONFIG)


def read_config(run: Path) -> Config:
    """What was to be trained. Raises UserError also where ``run`` is no run folder, or of a newer rnnjax."""
    if not is_run_folder(run):
        raise UserError(f"'{run}' is not a run folder (it holds no {schema.CONFIG}); name a folder that a run wrote.")
    path = run / schema.CONFIG
    values: JSONObject = read_json(path, any_text=True)
    version = values.get("format_version", 0)
    if isinstance(version, int) and version > schema.FORMAT_VERSION:
        raise UserError(
            f"The run '{run}' was written by a newer rnnjax (its format_version is {version}, this one reads up to "
            f"{schema.FORMAT_VERSION}); upgrade rnnjax."
        )
    return decode(values, Config, path)


def read_environment(run: Path) -> Environment:
    """On what the run was trained; empty where it does not say so."""
    path = run / schema.ENVIRONMENT
    if not os.path.lexists(path):
        return Environment()
    return decode(schema.environment_from_json(read_json(path, any_text=True)), Environment, path)


def read_task(run: Path) -> TaskInfo:
    """What is learnt in the run; runs that are older than the file ask a yes-or-no question about reviews."""
    path = run / schema.TASK
    return read_json(path, TaskInfo) if os.path.lexists(path) else TaskInfo()


def read_objective(run: Path) -> Objective:
    """What the labels of the run's models are. Raises UserError also where it has no models, see ``TrainingLog``."""
    objective = read_task(run).objective
    if objective is None:
        raise UserError(f"The run '{run}' is a log of losses and gradients, without a model; name another run.")
    return objective


def read_vocabulary(run: Path) -> tuple[str, ...] | None:
    """Id -> word or symbol; None where the folder of a run, or of a member, has no such file."""
    path = run / schema.VOCABULARY
    return read_json(path, tuple[str, ...]) if os.path.lexists(path) else None


def read_model(run: Path, member: Path) -> tuple[ModelRecord, tuple[str, ...]] | None:
    """What the trained model of a member needs, and its vocabulary; None where the member did not write it."""
    path = member / schema.MODEL
    if not os.path.lexists(path):
        return None
    return read_json(path, ModelRecord), read_vocabulary(member) or read_vocabulary(run) or ()


def member_folders(run: Path) -> list[Path]:
    """The folders of all members by name, without those that a merge has not copied to the end."""
    with reading(run / schema.MEMBERS):
        check_no_link(run / schema.MEMBERS)
    folders = [path for path in sorted((run / schema.MEMBERS).glob("*")) if path.is_dir()]
    for folder in folders:
        with reading(folder):
            check_no_link(folder)
    return [folder for folder in folders if folder.suffix != PARTIAL]


def read_outcome(member: Path) -> str | None:
    """None while a member has not ended, "" where it has a result, else the sentence why it has none."""
    if os.path.lexists(member / schema.RESULT):
        return ""
    path = member / schema.FAILURE
    return read_json(path, Failure).message if os.path.lexists(path) else None


def read_member(member: Path, task: TaskInfo, flags: JSONObject) -> RunRecord:
    """Everything that one member of a run of this task and these flags wrote, as far as its training got."""
    info = read_json(member / schema.MEMBER, MemberInfo)
    own_data = {"constant": info.chance, "label_scale": info.label_scale}
    task = msgspec.structs.replace(task, **{name: value for name, value in own_data.items() if value is not None})
    metrics: list[MetricsRecord] = read_records(member / schema.METRICS, MetricsRecord)
    train = [record for record in metrics if isinstance(record, TrainRecord)]
    validation = [record for record in metrics if isinstance(record, ValidationRecord)]
    updates = [record for record in metrics if isinstance(record, UpdateRecord)]
    result, failure = member / schema.RESULT, member / schema.FAILURE
    return RunRecord(
        name=member.name,
        label=info.label,
        cell=info.cell,
        seed=info.seed,
        parameters=info.parameters,
        steps=info.steps,
        train=_score_history(train),
        gradient_norms=np.array([record.gradient_norm for record in train], np.float64),
        validation=_score_history(validation),
        gradients=_gradient_logs(read_records(member / schema.GRADIENTS, GradientRecord)),
        result=read_json(result, RunResult) if os.path.lexists(result) else None,
        updates=_update_history(updates) if updates else None,
        diagnoses=read_diagnoses(member),
        diverged=read_divergence(member),
        failure=read_json(failure, Failure).message if os.path.lexists(failure) else None,
        varied=info.varied,
        task=task,
        baseline=info.baseline,
        clip=info.clip,
        last_step_only=_last_step_only(info, task, flags),
    )


def _last_step_only(info: MemberInfo, task: TaskInfo, flags: JSONObject) -> bool:
    """Whether the loss reads the last step alone; of runs that did not write it, from the flags."""
    if info.last_step_only is not None:
        return info.last_step_only
    architecture = flags.get("architecture")
    given = {**(architecture if isinstance(architecture, dict) else {}), **info.varied}
    pooled = given.get("pooling", "last") != "last" or bool(given.get("bidirectional", False))
    return task.objective not in (Objective.SYMBOLS, Objective.SIGNALS) and not pooled


def read_diagnoses(member: Path) -> dict[Stage, Diagnosis]:
    """The diagnoses of the member that were written."""
    files = {stage: schema.diagnosis_file(member, stage) for stage in schema.STAGES}
    present = {stage: path for stage, path in files.items() if os.path.lexists(path)}
    return {stage: diagnosis_from_json(read_json(path), path) for stage, path in present.items()}


def diagnosis_from_json(values: JSONObject, path: Path) -> Diagnosis:
    """The diagnosis in the object that the file at ``path`` holds; no numbers at lags that no example reaches."""
    diagnosis = decode(values, Diagnosis, path)
    return msgspec.structs.replace(diagnosis, layers=tuple(_without_empty_lags(layer) for layer in diagnosis.layers))


def read_divergence(member: Path) -> Origin | None:
    """Where the member's first number that is not finite was made; None where none was."""
    path = member / schema.DIVERGENCE
    if not os.path.lexists(path):
        return None
    divergence: Divergence = read_json(path, Divergence)
    return Origin(**{name: getattr(divergence, name) for name in Origin._fields})


def _without_empty_lags(layer: LayerDiagnosis) -> LayerDiagnosis:
    """The layer with NaN where no example reaches the lag, whatever the file holds there."""
    reached = layer.count > 0
    curves = {
        name: LagQuantiles(**{level: np.where(reached, getattr(quantiles, level), np.nan) for level in QUANTILE_NAMES})
        for name, quantiles in layer.by_lag.items()
    }
    return msgspec.structs.replace(layer, by_lag=curves)


def _score_history(records: Sequence[TrainRecord] | Sequence[ValidationRecord]) -> ScoreHistory:
    return ScoreHistory(
        steps=np.array([record.step for record in records], np.int64),
        loss=np.array([record.loss for record in records], np.float64),
        accuracy=np.array([record.accuracy for record in records], np.float64),
    )


def _update_history(records: Sequence[UpdateRecord]) -> UpdateHistory:
    """Blocks in the order in which they first appear."""
    blocks = dict.fromkeys(block for record in records for block in record.ratios)
    return UpdateHistory(
        steps=np.array([record.step for record in records], np.int64),
        ratios={block: np.array([record.ratios.get(block, np.nan) for record in records]) for block in blocks},
    )


def _gradient_logs(records: Sequence[GradientRecord]) -> dict[tuple[int, str], GradientLog]:
    states: dict[tuple[int, str], list[GradientRecord]] = {}
    for record in records:
        states.setdefault((record.layer, record.state), []).append(record)
    return {key: _gradient_log(states[key]) for key in sorted(states)}


def _gradient_log(records: Sequence[GradientRecord]) -> GradientLog:
    lags = max(len(record.count) for record in records)
    tables = {name: np.full((len(records), lags), np.nan) for name in CURVES}
    for name, table in tables.items():
        for row, record in zip(table, records, strict=True):
            values = getattr(record, name)
            row[: len(values)] = values
    count = tables.pop("count")
    curves = {name: np.where(count > 0, table, np.nan) for name, table in tables.items()}
    name = "" if records[0].name is msgspec.UNSET else records[0].name
    return GradientLog(steps=np.array([record.step for record in records], np.int64), count=count, name=name, **curves)
