"""The table of members as CSV and Parquet: one row for each member, with exact numbers and types."""

import csv
import io
import json
import re
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet

from rnnjax.data.dataset import Objective
from rnnjax.report.summary.diagnosis import layer_values
from rnnjax.report.summary.gradient_decay import member_decay
from rnnjax.report.summary.seed_groups import SeedGroup, memory_key, seed_groups
from rnnjax.report.summary.task import steps_to_beat
from rnnjax.report.tables.fields import accuracy_at, farthest_distance
from rnnjax.runs.member_schema import RegressionErrors
from rnnjax.runs.run_record import Run, RunRecord
from rnnjax.runs.schema import STAGES
from rnnjax.runtime.console import one_line

FORMULA = re.compile(r"[=@]|[+-](?![0-9]+(\.[0-9]*)?\Z)")  # how a cell begins that a spreadsheet calculates
Value = str | int | float | None
TYPES = {
    **{"label": pa.string(), "cell": pa.string(), "seed": pa.int64(), "parameters": pa.int64(), "steps": pa.int64()},
    **{"finished": pa.int64(), "diverged": pa.int64(), "memory_state": pa.string(), "best_step": pa.int64()},
    **{f"farthest_lag_{when}": pa.int64() for when in STAGES},
}  # of the fixed columns that are not floating-point


def swept_names(run: Run) -> tuple[str, ...]:
    """The names of the settings that a sweep varies, in the order of the members."""
    return tuple(dict.fromkeys(name for member in run.members for name in member.varied))


def csv_text(run: Run) -> str:
    """One row for each member: fractions and plain numbers, an empty field for an unknown value.

    Each swept setting has a column after the seed, with the prefix "swept_" where its name is taken. Control characters
    in names are written as escapes, and an apostrophe goes before what a spreadsheet would calculate.
    """
    return records_as_csv(records(run))


def records_as_csv(table: list[dict[str, Value]]) -> str:
    """Records of the same columns as CSV, under a line with their names; texts act on no terminal and spreadsheet."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(_inert, table[0] if table else ["label"]))
    for record in table:
        writer.writerow([_inert(value) if isinstance(value, str) else plain_text(value) for value in record.values()])
    return out.getvalue()


def parquet_bytes(run: Run) -> bytes:
    """The same table as a Parquet file, null for an unknown value.

    A swept column holds integers, floats, or strings where any of its values is not a number.
    """
    table = records(run)
    columns = {name: [record[name] for record in table] for name in (table[0] if table else ())}
    if not table:
        columns = {"label": []}
    swept = {_column_name(name) for name in swept_names(run)}
    arrays = {
        name: _typed_array(values) if name in swept else pa.array(values, TYPES.get(name, pa.float64()))
        for name, values in columns.items()
    }
    out = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(arrays), out)
    return out.getvalue()


def records(run: Run) -> list[dict[str, Value]]:
    """One row for each member, its values by column; None for an unknown value."""
    farthest, swept = farthest_distance(seed_groups(run)), swept_names(run)
    return [_record(member, farthest, swept) for member in run.members]


def plain_text(value: Value) -> str:
    """A value as text that Python reads back exactly, whole numbers without a point; empty for None."""
    if value is None or isinstance(value, str):
        return value or ""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _inert(text: str) -> str:
    """``text`` that acts neither on a terminal nor, as a formula, on a spreadsheet."""
    return one_line(f"'{text}" if FORMULA.match(text) else text)


def _record(member: RunRecord, farthest: float | None, swept: tuple[str, ...]) -> dict[str, Value]:
    single = SeedGroup(member.label, (member,))
    record: dict[str, Value] = {"label": member.label, "cell": member.cell, "seed": member.seed}
    record |= {_column_name(name): _swept_value(member.varied.get(name)) for name in swept}
    record |= {"parameters": member.parameters, "steps": member.steps, "finished": int(member.result is not None)}
    record |= {"diverged": int(member.status == "diverged"), "memory_state": memory_key(member)[1]}
    for when in STAGES:
        decay = member_decay(member, when)
        record[f"half_life_{when}"] = None if decay is None else _none_if_nan(decay.half_life)
        record[f"reach_{when}"] = None if decay is None else _none_if_nan(decay.reach)
        record[f"farthest_lag_{when}"] = None if decay is None or decay.problem else decay.farthest
        shares = layer_values(single, when, "belt_share")
        record[f"belt_share_{when}"] = _none_if_nan(shares[0]) if len(shares) else None
    for name in ("validation_accuracy", "test_accuracy", "test_loss", "validation_loss"):
        record[name] = None if member.result is None else _none_if_nan(getattr(member.result, name))
    if member.task.loss_alone:
        record["training_loss"] = float(member.train.loss[-1]) if len(member.train.loss) else None
    if member.task.objective is Objective.NUMBER:
        record |= _errors(member)
    record |= {"baseline": member.baseline, "steps_to_beat_baseline": _finite_steps_to_beat(member)}
    record["best_step"] = None if member.result is None else member.result.best_step
    for name in ("seconds", "steps_per_second", "compile_seconds"):
        record[name] = None if member.result is None else _none_if_nan(getattr(member.result, name))
    at = accuracy_at(single, farthest) if farthest is not None else np.empty(0)
    return record | {"farthest_distance": farthest, "accuracy_at_farthest": _none_if_nan(at[0]) if at.size else None}


def _errors(member: RunRecord) -> dict[str, Value]:
    """RMSE, MAE and R² of both splits by column, in the unit of the labels."""
    columns: dict[str, Value] = {}
    for split in ("test", "validation"):
        errors = msgspec.UNSET if member.result is None else getattr(member.result, f"{split}_errors")
        for name in RegressionErrors.__struct_fields__:
            columns[f"{split}_{name}"] = None if errors is msgspec.UNSET else _none_if_nan(getattr(errors, name))
    return columns


def _finite_steps_to_beat(member: RunRecord) -> float | None:
    """None also for never, since a spreadsheet has no infinity."""
    steps = steps_to_beat(member)
    return None if steps is None or np.isinf(steps) else steps


def _column_name(name: str) -> str:
    """The column of a swept setting, which may have the name of a fixed column, such as "steps"."""
    return f"swept_{name}" if name in TYPES else name


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def is_number(value: Any) -> bool:
    """Whether a swept value is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _swept_value(value: Any) -> Value:
    return value if value is None or is_number(value) or isinstance(value, str) else json.dumps(value)


def _typed_array(values: list[Value]) -> pa.Array:
    present = [value for value in values if value is not None]
    if all(isinstance(value, int) for value in present):
        return pa.array(values, pa.int64())
    if all(is_number(value) for value in present):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([None if value is None else plain_text(value) for value in values], pa.string())
