"""JSON as training writes it: objects from files, numbers of which some are missing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnnjax.errors import UserError

Floats = NDArray[np.float64]


def json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        UserError: the file holds something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"'{path}' is damaged, not valid JSON ({error}); restore it or run again.") from error
    if not isinstance(value, dict):
        raise UserError(f"'{path}' is damaged, expected a JSON object in it; restore it or run again.")
    return value


def row(values: list[Any]) -> Floats:
    """A list of numbers (N,), NaN where JSON has null."""
    return np.array([as_float(value) for value in values], np.float64)


def as_float(value: Any) -> float:
    """A number, NaN where JSON has null."""
    return np.nan if value is None else float(value)
