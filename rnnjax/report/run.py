"""A run folder read back from disk, as far as it got: the only part of the report that knows files."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnjax.errors import UserError
from rnnjax.training.records import read_records

Floats = NDArray[np.float64]
LEVELS = ("count", "mean", "q10", "q50", "q90")


@dataclass(frozen=True, eq=False)
class GradientLog:
    """The gradient norms of one state of one layer: steps (S,), all else (S, L) by lag, NaN where no example is.

    ``mean`` and the quantiles are over the ``count`` examples that reach a lag, counted in words back from an
    example's last word; where training has diverged they can be NaN or infinite although examples reach the lag.
    """

    steps: NDArray[np.int64]
    count: Floats
    mean: Floats
    q10: Floats
    q50: Floats
    q90: Floats


@dataclass(frozen=True, eq=False)
class Scores:
    """Loss and accuracy (a fraction) at the steps (S,) where they were recorded; each array is (S,)."""

    steps: NDArray[np.int64]
    loss: Floats
    accuracy: Floats


@dataclass(frozen=True, eq=False)
class Result:
    """What a finished member achieved; distances are in words, accuracies are fractions, arrays are (D,)."""

    test_loss: float
    test_accuracy: float
    validation_accuracy: float
    best_step: int
    seconds: float
    steps_per_second: float
    compile_seconds: float
    distance: Floats | None
    accuracy: Floats | None


@dataclass(frozen=True, eq=False)
class Member:
    """One cell trained from one seed; ``result`` is None where training has not finished.

    ``gradients`` maps (layer, state) to its log, state being "h" or the LSTM's "c".
    """

    name: str
    label: str
    cell: str
    seed: int
    parameters: int
    steps: int
    train: Scores
    validation: Scores
    gradients: dict[tuple[int, str], GradientLog]
    result: Result | None


@dataclass(frozen=True, eq=False)
class Run:
    """Everything a run folder holds; ``unborn`` names the member folders in which nothing was written yet."""

    path: Path
    experiment: str
    flags: dict[str, Any]
    environment: dict[str, Any]
    members: tuple[Member, ...]
    unborn: tuple[str, ...]


def load_run(path: Path) -> Run:
    """Read a run folder, finished or killed at any moment.

    Raises:
        UserError: ``path`` is not a run folder, or a file in it is damaged beyond a torn last line.
    """
    if not (path / "config.json").is_file():
        raise UserError(f"'{path}' is not a run folder (it holds no config.json); name a folder that a run wrote.")
    config = _object(path / "config.json")
    environment = path / "environment.json"
    folders = sorted(folder for folder in (path / "members").glob("*") if folder.is_dir())
    begun = [folder for folder in folders if (folder / "member.json").exists()]
    members = [_whole(folder, _member) for folder in begun]
    return Run(
        path=path,
        experiment=str(config.get("experiment", "unknown")),
        flags=dict(config.get("flags") or {}),
        environment=_object(environment) if environment.exists() else {},
        members=tuple(sorted(members, key=lambda member: (member.parameters, member.label, member.seed))),
        unborn=tuple(folder.name for folder in folders if folder not in begun),
    )


def _whole(folder: Path, read: Callable[[Path], Member]) -> Member:
    try:
        return read(folder)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"The records in '{folder}' are damaged ({type(error).__name__}: {error}); "
            "expected what a run writes there: remove that folder or run again."
        ) from error


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"'{path}' is damaged, not valid JSON ({error}); restore it or run again.") from error
    if not isinstance(value, dict):
        raise UserError(f"'{path}' is damaged, expected a JSON object in it; restore it or run again.")
    return value


def _member(folder: Path) -> Member:
    told = _object(folder / "member.json")
    metrics = read_records(folder / "metrics.jsonl")
    result = folder / "result.json"
    return Member(
        name=folder.name,
        label=str(told["label"]),
        cell=str(told["cell"]),
        seed=int(told["seed"]),
        parameters=int(told["parameters"]),
        steps=int(told["steps"]),
        train=_scores([record for record in metrics if record["kind"] == "train"]),
        validation=_scores([record for record in metrics if record["kind"] == "validation"]),
        gradients=_gradients(read_records(folder / "gradients.jsonl")),
        result=_result(_object(result)) if result.exists() else None,
    )


def _result(told: dict[str, Any]) -> Result:
    by_distance = told.get("accuracy_by_distance")
    if by_distance and len(by_distance["distance"]) != len(by_distance["accuracy"]):
        raise ValueError("accuracy_by_distance holds lists of unequal length")
    floats: tuple[str, ...] = ("test_loss", "test_accuracy", "validation_accuracy", "seconds")
    floats += ("steps_per_second", "compile_seconds")
    return Result(
        **{name: _float(told[name]) for name in floats},
        best_step=int(told["best_step"]),
        distance=_row(by_distance["distance"]) if by_distance else None,
        accuracy=_row(by_distance["accuracy"]) if by_distance else None,
    )


def _scores(records: list[dict[str, Any]]) -> Scores:
    return Scores(
        steps=np.array([record["step"] for record in records], np.int64),
        loss=_row([record["loss"] for record in records]),
        accuracy=_row([record["accuracy"] for record in records]),
    )


def _gradients(records: list[dict[str, Any]]) -> dict[tuple[int, str], GradientLog]:
    states: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for record in records:
        states.setdefault((int(record["layer"]), str(record["state"])), []).append(record)
    return {key: _gradient_log(states[key]) for key in sorted(states)}


def _gradient_log(records: list[dict[str, Any]]) -> GradientLog:
    lags = max(len(record["q50"]) for record in records)
    tables = {level: np.full((len(records), lags), np.nan) for level in LEVELS}
    for row, record in enumerate(records):
        for level, table in tables.items():
            values = _row(record[level])
            table[row, : len(values)] = values
    reached = tables["count"] > 0  # False also where the count itself is NaN
    quantiles = {level: np.where(reached, tables[level], np.nan) for level in LEVELS if level != "count"}
    steps = np.array([record["step"] for record in records], np.int64)
    return GradientLog(steps=steps, count=tables["count"], **quantiles)


def _row(values: list[Any]) -> Floats:
    return np.array([_float(value) for value in values], np.float64)


def _float(value: Any) -> float:
    return np.nan if value is None else float(value)
