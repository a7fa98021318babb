"""The folder of one member read back from disk, as far as training got."""

from pathlib import Path
from typing import Any

import numpy as np

from rnnjax.diagnostics.alarms.evidence import Origin
from rnnjax.runs.diagnosis import Diagnosis, parse_diagnosis
from rnnjax.runs.json_io import read_json, read_records
from rnnjax.runs.json_numbers import as_float, row
from rnnjax.runs.schema import MOMENTS, GradientLog, Moment, Result, RunRecord, Scores, Updates
from rnnjax.runs.task import TaskInfo

LEVELS = ("count", "mean", "q10", "q50", "q90")


def read_member(folder: Path, task: TaskInfo) -> RunRecord:
    """Everything that one member of a run of this task wrote.

    Raises:
        UserError: a file holds no JSON object.
        KeyError, TypeError, ValueError, AttributeError: a record lacks something or does not fit.
    """
    told = read_json(folder / "member.json")
    metrics = read_records(folder / "metrics.jsonl")
    kinds: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "updates": []}
    for record in metrics:
        kinds.setdefault(str(record["kind"]), []).append(record)
    result, diverged, failure = (folder / name for name in ("result.json", "diverged.json", "failure.json"))
    return RunRecord(
        name=folder.name,
        label=str(told["label"]),
        cell=str(told["cell"]),
        seed=int(told["seed"]),
        parameters=int(told["parameters"]),
        steps=int(told["steps"]),
        train=_scores(kinds["train"]),
        gradient_norms=row([record["gradient_norm"] for record in kinds["train"]]),
        validation=_scores(kinds["validation"]),
        gradients=_gradients(read_records(folder / "gradients.jsonl")),
        result=_result(read_json(result)) if result.exists() else None,
        updates=_updates(kinds["updates"]),
        diagnoses=_diagnoses(folder),
        diverged=_origin(read_json(diverged)) if diverged.exists() else None,
        failure=str(read_json(failure)["message"]) if failure.exists() else None,
        varied=dict(told.get("varied") or {}),
        clip=None if told.get("clip") is None else as_float(told["clip"]),
        task=task,
        baseline=None if told.get("baseline") is None else float(told["baseline"]),
    )


def _result(told: dict[str, Any]) -> Result:
    by_distance = told.get("accuracy_by_distance")
    if by_distance and len(by_distance["distance"]) != len(by_distance["accuracy"]):
        raise ValueError("accuracy_by_distance holds lists of unequal length")
    floats: tuple[str, ...] = ("test_loss", "test_accuracy", "validation_accuracy", "seconds")
    floats += ("steps_per_second", "compile_seconds")
    return Result(
        **{name: as_float(told[name]) for name in floats},
        best_step=int(told["best_step"]),
        distance=row(by_distance["distance"]) if by_distance else None,
        accuracy=row(by_distance["accuracy"]) if by_distance else None,
        validation_loss=as_float(told.get("validation_loss")),
    )


def _scores(records: list[dict[str, Any]]) -> Scores:
    return Scores(
        steps=np.array([record["step"] for record in records], np.int64),
        loss=row([record["loss"] for record in records]),
        accuracy=row([record["accuracy"] for record in records]),
    )


def _updates(records: list[dict[str, Any]]) -> Updates | None:
    """Blocks in the order in which they first appear; None without a record."""
    blocks = dict.fromkeys(block for record in records for block in record["ratios"])
    ratios = {str(block): row([record["ratios"].get(block) for record in records]) for block in blocks}
    return Updates(np.array([record["step"] for record in records], np.int64), ratios) if records else None


def _diagnoses(folder: Path) -> dict[Moment, Diagnosis]:
    files: dict[Moment, Path] = {when: folder / f"diagnosis-{when}.json" for when in MOMENTS}
    return {when: parse_diagnosis(read_json(file)) for when, file in files.items() if file.exists()}


def _origin(told: dict[str, Any]) -> Origin:
    if told["phase"] not in ("forward", "backward"):
        raise ValueError(f"phase is {told['phase']!r}, expected 'forward' or 'backward'")
    layer, gate = (None if told[name] is None else str(told[name]) for name in ("layer", "gate"))
    timestep, step = (None if told[name] is None else int(told[name]) for name in ("timestep", "step"))
    return Origin(phase=told["phase"], layer=layer, gate=gate, timestep=timestep, step=step)


def _gradients(records: list[dict[str, Any]]) -> dict[tuple[int, str], GradientLog]:
    states: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for record in records:
        states.setdefault((int(record["layer"]), str(record["state"])), []).append(record)
    return {key: _gradient_log(states[key]) for key in sorted(states)}


def _gradient_log(records: list[dict[str, Any]]) -> GradientLog:
    lags = max(len(record["q50"]) for record in records)
    tables = {level: np.full((len(records), lags), np.nan) for level in LEVELS}
    for place, record in enumerate(records):
        for level, table in tables.items():
            values = row(record[level])
            table[place, : len(values)] = values
    reached = tables["count"] > 0  # False also where the count itself is NaN
    quantiles = {level: np.where(reached, tables[level], np.nan) for level in LEVELS if level != "count"}
    steps = np.array([record["step"] for record in records], np.int64)
    return GradientLog(steps=steps, count=tables["count"], **quantiles)
