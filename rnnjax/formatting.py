"""How numbers, nouns and lists are written: the same in alarms, sentences, tables and figures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rnnjax.typing import Floats

MOST = 5  # cells that a headline lists by name
MILLION = 1e6


@dataclass(frozen=True)
class Nouns:
    """What sentences about a run call one time step and one example, in the singular."""

    step: str = "word"
    example: str = "review"

    @property
    def steps(self) -> str:
        """The plural of ``step``."""
        return plural(self.step)

    @property
    def examples(self) -> str:
        """The plural of ``example``."""
        return plural(self.example)

    @property
    def back(self) -> str:
        """The title of an axis of lags."""
        return f"{self.steps} back from the end of the {self.example}"

    @property
    def clue(self) -> str:
        """The step that decides the answer, in tasks that measure accuracy by distance."""
        return "opinion" if self == Nouns() else "clue"

    def far(self, value: float) -> str:
        """A number of time steps with its unit: "1 word", "1.3 words"."""
        return distance(value, self.step)

    def fill_template(self, text: str) -> str:
        """``text`` with {step}, {steps}, {a_step}, {example} and {examples} filled in."""
        article = "an" if self.step[:1] in "aeiou" else "a"
        return text.format(
            step=self.step,
            steps=self.steps,
            a_step=f"{article} {self.step}",
            example=self.example,
            examples=self.examples,
        )


def plural(noun: str) -> str:
    """Step → steps, series → series."""
    return noun if noun.endswith("s") else f"{noun}s"


def common(nouns: Iterable[Nouns]) -> Nouns:
    """The nouns of several runs: theirs where all agree, "step" and "example" where not, the defaults for no run."""
    distinct = set(nouns)
    return Nouns("step", "example") if len(distinct) > 1 else distinct.pop() if distinct else Nouns()


def number(value: float) -> str:
    """A number of steps, or a factor, from 0 up.

    One decimal below 10 (a zero is dropped), whole numbers with thousands separators above, "over a million" from a
    million on. A number that one decimal would round to 0 keeps one significant digit, down to a millionth, below
    which it is "0". NaN is "–", infinity "∞".

    Examples:
        >>> [number(value) for value in (0.003, 1.0, 6.54, 12_000.4, 2e6)]
        ['0.003', '1', '6.5', '12,000', 'over a million']
    """
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞"
    if value >= MILLION:
        return "over a million"
    if 1 / MILLION <= value < 0.05:
        return _short_exponent(f"{value:.1g}")
    text = f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"
    return text.removesuffix(".0")  # also where a fit misses a whole number by a rounding error


def distance(value: float, unit: str) -> str:
    """A number of units: "1 word", "1.3 words"."""
    text = number(value)
    return f"{text} {unit if text == '1' else plural(unit)}"


def percent(fraction: float) -> str:
    """One decimal: 0.5 → "50.0%". "100%" is exactly 1, and what would round to "0.0%" is "under 0.1%"."""
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
    """``percent``, rounded down, so that "at least" stays true."""
    return percent(float(np.floor(1000 * fraction + 1e-9)) / 1000)


def at_most(fraction: float) -> str:
    """``percent``, rounded up, so that "at most" stays true."""
    return percent(float(np.ceil(1000 * fraction - 1e-9)) / 1000)


def short_percent(fraction: float) -> str:
    """``percent`` without its sign, for a column of a table; NaN is "–"."""
    return "–" if np.isnan(fraction) else _one_decimal(fraction)


def loss(value: float) -> str:
    """Three significant digits: "0.00123", "0.167", "2.08"; NaN is "–", infinity "∞"."""
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞"
    return _short_exponent(f"{value:#.3g}".removesuffix("."))


def short_loss(value: float) -> str:
    """A loss in two significant digits, the small ones with their power of ten: 0.17, 0.0037, 6.1e-4, but 123."""
    if not 0 < value < 99.5:
        return loss(value) if value else "0"
    return _short_exponent(f"{value:.1e}") if value < 0.001 else f"{value:.2g}"


def _short_exponent(text: str) -> str:
    """1e-05 → 1e-5."""
    return text.replace("e-0", "e-").replace("e+0", "e+")


def percents(values: Floats) -> str:
    """Lowest to highest of several seeds, "50.1–52.0%"; a single percentage where both are rounded to the same."""
    low, high = percent(float(np.nanmin(values))), percent(float(np.nanmax(values)))
    return low if low == high else f"{low.removesuffix('%')}–{high}"


def join_list(parts: Sequence[str]) -> str:
    """The parts as a list in running text: "one, two and three"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def listed_briefly(parts: Sequence[str]) -> str:
    """``join_list``, with the last parts replaced by their number where there are more than a headline has room for."""
    return join_list(parts if len(parts) <= MOST else [*parts[: MOST - 1], f"{len(parts) - MOST + 1} others"])
