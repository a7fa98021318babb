"""Numbers as JSON has them, of which some are missing."""

from typing import Any

import numpy as np

from rnnjax.typing import Floats


def row(values: list[Any]) -> Floats:
    """A list of numbers (N,), NaN where JSON has null."""
    return np.array([as_float(value) for value in values], np.float64)


def as_float(value: Any) -> float:
    """A number, NaN where JSON has null."""
    return np.nan if value is None else float(value)
