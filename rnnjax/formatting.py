"""Numbers, nouns and lists as a reader expects them, the same in sentences, tables and pictures."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rnnjax.typing import Floats

MOST = 5  # cells that a headline lists by name


@dataclass(frozen=True)
class Nouns:
    """What a run's sentences call one time step and one example, in the singular."""

    step: str = "word"
    example: str = "review"

    @property
    def steps(self) -> str:
        """Several time steps."""
        return plural(self.step)

    @property
    def examples(self) -> str:
        """Several examples."""
        return plural(self.example)

    @property
    def back(self) -> str:
        """The title of an axis of lags."""
        return f"{self.steps} back from the end of the {self.example}"

    @property
    def clue(self) -> str:
        """What decides the answer in a task that measures accuracy by distance."""
        return "opinion" if self == Nouns() else "clue"

    def far(self, value: float) -> str:
        """A distance with its unit: "1 word", "1.3 words"."""
        text = number(value)
        return f"{text} {self.step if text == '1' else self.steps}"

    def told(self, text: str) -> str:
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
    """Those that all share; of runs that differ "step" and "example", of none the usual ones."""
    kinds = set(nouns)
    return Nouns("step", "example") if len(kinds) > 1 else kinds.pop() if kinds else Nouns()


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


def loss(value: float) -> str:
    """Three significant digits: "0.00123", "0.167", "2.08"; a dash for what is no number."""
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞"
    return f"{value:#.3g}".removesuffix(".").replace("e-0", "e-").replace("e+0", "e+")


def short_loss(value: float) -> str:
    """A loss in two significant digits, the small ones with their power of ten: 0.17, 0.0037, 6.1e-4."""
    return f"{value:.1e}".replace("e-0", "e-") if 0 < value < 0.001 else f"{value:.2g}"


def percents(values: Floats) -> str:
    """Lowest to highest of several seeds, or the one number that they share once rounded: "50.1–52.0%"."""
    low, high = percent(float(np.nanmin(values))), percent(float(np.nanmax(values)))
    return low if low == high else f"{low.removesuffix('%')}–{high}"


def join_list(parts: Sequence[str]) -> str:
    """The parts as a list in running text, as in one, two and three."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def listed_briefly(who: Sequence[str]) -> str:
    """The list, or its beginning where a headline has no room for all of it."""
    return join_list(who if len(who) <= MOST else [*who[: MOST - 1], f"{len(who) - MOST + 1} others"])
