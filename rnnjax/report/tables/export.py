"""One row a member for a spreadsheet or a data frame: fractions and plain numbers, with exact values and types."""

import csv
import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from rnnjax.report.summary.diagnosis import numbers
from rnnjax.report.summary.seed_groups import SeedGroup, member_fade, seed_groups
from rnnjax.report.summary.seed_groups import memory as memory_of
from rnnjax.report.summary.task import steps_to_beat
from rnnjax.report.tables.fields import accuracy_at, farthest_of
from rnnjax.runs.run_record import Run, RunRecord
from rnnjax.runs.schema import STAGES

Value = str | int | float | None
TYPES = {
    **{"label": pa.string(), "cell": pa.string(), "seed": pa.int64(), "parameters": pa.int64(), "steps": pa.int64()},
    **{"finished": pa.int64(), "diverged": pa.int64(), "memory_state": pa.string(), "best_step": pa.int64()},
    **{f"farthest_lag_{when}": pa.int64() for when in STAGES},
}  # of the fixed columns that are no floating-point numbers


def swept_names(run: Run) -> tuple[str, ...]:
    """What any member's sweep varies, in the order of the members."""
    return tuple(dict.fromkeys(name for member in run.members for name in member.varied))


def csv_text(run: Run) -> str:
    """One row a member, tidy: fractions and plain numbers, an empty field for what is not known.

    What a sweep varies has a column of its name behind the seed, "swept_" before it where another column is called so.
    """
    out = io.StringIO()
    table = records(run)
    writer = csv.DictWriter(out, list(table[0]) if table else ["label"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: plain(value) for name, value in record.items()} for record in table)
    return out.getvalue()


def parquet_bytes(run: Run) -> bytes:
    """The same table as a Parquet file, null for what is not known.

    A swept column holds whole numbers, numbers, or strings where any of its values is no number.
    """
    table = records(run)
    columns = {name: [record[name] for record in table] for name in (table[0] if table else ())}
    if not table:
        columns = {"label": []}
    swept = {_column(name) for name in swept_names(run)}
    arrays = {
        name: _typed(values) if name in swept else pa.array(values, TYPES.get(name, pa.float64()))
        for name, values in columns.items()
    }
    out = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(arrays), out)
    return out.getvalue()


def records(run: Run) -> list[dict[str, Value]]:
    """One row a member, column by name; None for what is not known."""
    farthest, swept = farthest_of(seed_groups(run)), swept_names(run)
    return [_record(member, farthest, swept) for member in run.members]


def plain(value: Value) -> str:
    """A number as Python writes it back exactly, whole ones without a point; nothing for None."""
    if value is None or isinstance(value, str):
        return value or ""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _record(member: RunRecord, farthest: float | None, swept: tuple[str, ...]) -> dict[str, Value]:
    alone = SeedGroup(member.label, (member,))
    record: dict[str, Value] = {"label": member.label, "cell": member.cell, "seed": member.seed}
    record |= {_column(name): _swept(member.varied.get(name)) for name in swept}
    record |= {"parameters": member.parameters, "steps": member.steps, "finished": int(member.result is not None)}
    record |= {"diverged": int(member.status == "diverged"), "memory_state": memory_of(member)[1]}
    for when in STAGES:
        fade = member_fade(member, when)
        record[f"half_life_{when}"] = None if fade is None else _known(fade.half_life)
        record[f"reach_{when}"] = None if fade is None else _known(fade.reach)
        record[f"farthest_lag_{when}"] = None if fade is None or fade.trouble else fade.farthest
        shares = numbers(alone, when, "belt_share")
        record[f"belt_share_{when}"] = _known(shares[0]) if len(shares) else None
    for name in ("validation_accuracy", "test_accuracy", "test_loss", "validation_loss"):
        record[name] = None if member.result is None else _known(getattr(member.result, name))
    record |= {"baseline": member.baseline, "steps_to_beat_baseline": _beaten(member)}
    record["best_step"] = None if member.result is None else member.result.best_step
    for name in ("seconds", "steps_per_second", "compile_seconds"):
        record[name] = None if member.result is None else _known(getattr(member.result, name))
    at = accuracy_at(alone, farthest) if farthest is not None else np.empty(0)
    return record | {"farthest_distance": farthest, "accuracy_at_farthest": _known(at[0]) if at.size else None}


def _beaten(member: RunRecord) -> float | None:
    """None also for never: a spreadsheet has no infinity."""
    steps = steps_to_beat(member)
    return None if steps is None or np.isinf(steps) else steps


def _column(name: str) -> str:
    """Where a swept flag has the name of what every row tells, as --steps of an epoch, it cannot have that column."""
    return f"swept_{name}" if name in TYPES else name


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def is_number(value: Any) -> bool:
    """Whether what a sweep sets is a number rather than a word."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _swept(value: Any) -> Value:
    return value if value is None or is_number(value) or isinstance(value, str) else json.dumps(value)


def _typed(values: list[Value]) -> pa.Array:
    known = [value for value in values if value is not None]
    if all(isinstance(value, int) for value in known):
        return pa.array(values, pa.int64())
    if all(is_number(value) for value in known):
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([None if value is None else plain(value) for value in values], pa.string())
