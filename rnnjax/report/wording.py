"""Numbers and lists as a reader expects them, the same in sentences, tables and pictures."""

from collections.abc import Sequence

import numpy as np

from rnnjax.report.run import Floats


def percent(fraction: float) -> str:
    """0.9987 → "99.9%"; what rounds to 100 without being it, and to 0 likewise, says so."""
    if np.isnan(fraction):
        return "an unknown share"
    if 0 < fraction < 0.0005:
        return "under 0.1%"
    return f"{_one_decimal(fraction)}%"


def _one_decimal(fraction: float) -> str:
    rounded = f"{100 * fraction:.1f}"
    if rounded == "100.0":
        return "100" if fraction == 1 else "99.9" if fraction < 1 else rounded
    return rounded


def at_least(fraction: float) -> str:
    """Rounded down, so that "at least" stays true."""
    return percent(float(np.floor(1000 * fraction + 1e-9)) / 1000)


def at_most(fraction: float) -> str:
    """Rounded up, so that "at most" stays true."""
    return percent(float(np.ceil(1000 * fraction - 1e-9)) / 1000)


def short_percent(fraction: float) -> str:
    """The same without its sign, for a table."""
    return "–" if np.isnan(fraction) else _one_decimal(fraction)


def number(value: float) -> str:
    """Words or steps: one decimal below 10, whole above; ∞ and – for what has no number."""
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞"
    if value >= 10_000:
        return "> 9,999"
    text = f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"
    return text.removesuffix(".0")  # a fit may miss a whole number by a rounding error


def words(value: float) -> str:
    """A distance with its unit: "1 word", "1.3 words"."""
    text = number(value)
    return f"{text} word{'' if text == '1' else 's'}"


def percents(values: Floats) -> str:
    """Lowest to highest of several seeds, or the one number that they share once rounded: "50.1–52.0%"."""
    low, high = percent(float(np.nanmin(values))), percent(float(np.nanmax(values)))
    return low if low == high else f"{low.removesuffix('%')}–{high}"


def listed(parts: Sequence[str]) -> str:
    """The parts as a list in running text, as in one, two and three."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
