"""The explanation of a text in the terminal: its words shaded, the logit along it, and the decisive words.

Where there is no colour (no terminal, or NO_COLOR is set), numbers take the place of the shades.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from rnnjax.analysis.word_attribution import Explanation
from rnnjax.formatting import percent
from rnnjax.typing import Floats

QUIET, LOUD = (28, 28, 28), (255, 140, 0)  # backgrounds from share 0 to 1, distinct with any colour vision
POSITIVE, NEGATIVE = "rgb(86,180,233)", "rgb(213,94,0)"
BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", "_.,-=+*#"
MIN_SHOWN_SHARE = 0.05  # share from which a word is followed by its number where there is no colour
TITLES = ("at", "connec-\ntivity", "share of\nlargest", "logit\nwithout it", "gradient\npredicts")
WORDS_PER_RANKING = 3  # of the table: by connectivity, and by the change of the logit without the word
Unit = Literal["word", "character", "step"]


@dataclass(frozen=True, eq=False)
class TextView:
    """The explanation of one text by one cell, for ``Console.print``.

    Attributes:
        title: the cell, and the seed where there are several.
        words: T words, characters or, of a series, its values as text.
        known: (T,) whether the vocabulary holds the word.
        explanation: of the T words.
        sides: the answers of a logit below and above zero; None where the model gives a number.
        probability: of the second side; None where it is the sigmoid of the logit.
        unit: what a step is.
    """

    title: str
    words: tuple[str, ...]
    known: np.ndarray
    explanation: Explanation
    sides: tuple[str, str] | None
    probability: float | None = None
    unit: Unit = "word"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The parts, from top to bottom."""
        coloured = _coloured(console)
        write_words = _shaded if coloured else _with_numbers
        between = " " if self.unit == "word" else ""
        yield Text()
        yield Rule(Text(self.title, style="bold"), align="left", style="dim")
        if self.unit == "step":
            yield _bars("share of largest connectivity", shares(self.explanation), options, lowest=0.0)
        else:
            words = write_words(self.words, self.known, shares(self.explanation), between)
            yield Padding(words, (0, 1), style=_background(0, coloured))
        yield _bars("number" if self.sides is None else "logit", self.explanation.logits, options)
        if self.sides is not None:
            yield _crossings(self.explanation.logits, self.words, self.sides, self.unit)
        yield self._answer()
        yield self._table()

    def _answer(self) -> Text:
        logit = float(self.explanation.logits[-1])
        if not np.isfinite(logit):
            return Text(f"no answer: the logit is {logit}", style="bold")
        if self.sides is None:
            return Text(f"{logit:.4g}", style="bold")
        other, answer = self.sides if logit > 0 else self.sides[::-1]
        probability = self.probability
        if probability is None:
            probability = float(1 / (1 + np.exp(np.float64(min(-logit, 700.0)))))
        text = Text(answer, style=f"bold {POSITIVE if logit > 0 else NEGATIVE}")
        text.append(f" (probability of {self.sides[1]}: {percent(probability)})", "default not bold")
        top = decisive_words(self.explanation, self.known)[0]
        if (logit + self.explanation.measured[top] > 0) != (logit > 0):
            text.append(
                f'; without "{self.words[top]}" ({self.unit} {top + 1}) it would be {other}', "default not bold"
            )
        return text

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        table.add_column(self.unit, overflow="fold")
        for title in TITLES:
            table.add_column(title if self.sides else title.replace("logit", "number"), justify="right")
        explanation, share = self.explanation, shares(self.explanation)
        logit = explanation.logits[-1]
        for t in decisive_words(explanation, self.known):
            without, predicted = logit + explanation.measured[t], logit + explanation.predicted[t]
            without_text = Text(_signed(without), style="bold" if self.sides and without * logit < 0 else "")
            table.add_row(
                Text(self.words[t]), f"{t + 1}", f"{explanation.connectivity[t]:.2g}", percent(share[t]), without_text,
                _signed(predicted),
            )  # fmt: skip
        return table


def legend(console: Console, sides: tuple[str, str] | None, unit: Unit = "word", *, several: bool = False) -> Text:
    """How the explanations are read, once for all cells.

    Args:
        console: on which they are shown.
        sides: as in ``TextView``.
        unit: likewise.
        several: whether there are more than two classes.
    """
    quantity = "number" if sides is None else "logit"
    away = {"word": "<unk> takes their place", "character": "none is read there", "step": "zeros take their place"}[
        unit
    ]
    if unit == "step":
        text = Text(f"The connectivity of a step is the size of the {quantity}'s gradient there. ")
        return _legend_end(text, quantity, sides, f"{unit}s", away, several)
    if _coloured(console):
        text = Text()
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            text.append(f" {share:.0%} ", style=_background(share, True))
        text.append(f" connectivity of a {unit}, the size of the logit's gradient there, in percent of the largest. ")
    else:
        text = Text(
            f"In brackets behind a {unit}: its connectivity, the size of the logit's gradient there, in percent of the "
            f"largest; from {MIN_SHOWN_SHARE:.0%}. "
        )
    text.append(f"A {unit} with ? is not in the vocabulary. ")
    return _legend_end(text, quantity, sides, f"{unit}s", away, several)


def _legend_end(text: Text, quantity: str, sides: tuple[str, str] | None, units: str, away: str, several: bool) -> Text:
    """What bars and table show, after what the shades or numbers are."""
    if several:
        text.append("The logit is that of the answer minus the largest of the other classes. ")
    ended = "series" if units == "steps" else "text"
    above = f", above it {sides[1]}" if sides else ""
    return text.append(
        f"The bars are the {quantity} if the {ended} ended there: 0 at half height{above}. The table holds the "
        f"{WORDS_PER_RANKING} {units} of the largest connectivity and the {WORDS_PER_RANKING} that change the "
        f"{quantity} most when {away}: the {quantity} then, and what the gradient alone predicts."
    )


def shares(explanation: Explanation) -> Floats:
    """Connectivity (T,) as a share of its largest value; all zero where that is zero or not finite."""
    norms = explanation.connectivity.astype(np.float64)
    largest = norms.max()
    return norms / largest if 0 < largest < np.inf else np.zeros_like(norms)


def decisive_words(explanation: Explanation, known: np.ndarray) -> list[int]:
    """Positions of the known words with the largest connectivity or measured change, the largest change first."""
    effect = np.abs(explanation.measured)
    candidates = np.flatnonzero(known)
    positions: set[int] = set()
    for ranking in (explanation.connectivity, effect):
        positions.update(candidates[np.argsort(-ranking[candidates], kind="stable")][:WORDS_PER_RANKING].tolist())
    return sorted(positions, key=lambda t: (-effect[t], t))


def _coloured(console: Console) -> bool:
    return console.color_system is not None and not console.no_color


def _background(share: float, coloured: bool) -> str:
    """A style that sets text and background, so that dark and light terminals show the same."""
    if not coloured:
        return ""
    red, green, blue = (round(low + share * (high - low)) for low, high in zip(QUIET, LOUD, strict=True))
    return f"{'rgb(0,0,0)' if share > 0.6 else 'rgb(235,235,235)'} on rgb({red},{green},{blue})"


def _shaded(words: tuple[str, ...], known: np.ndarray, share: Floats, between: str) -> Text:
    text = Text()
    for t, word in enumerate(words):
        style = _background(share[t], True)
        text.append(word if known[t] else f"{word}?", style=style if known[t] else f"dim {style}").append(between)
    return text


def _with_numbers(words: tuple[str, ...], known: np.ndarray, share: Floats, between: str) -> Text:
    marked = (word if known[t] else f"{word}?" for t, word in enumerate(words))
    numbers = (f"[{100 * s:.0f}]" if s >= MIN_SHOWN_SHARE else "" for s in share)
    return Text(between.join(map("".join, zip(marked, numbers, strict=True))))


def _bars(name: str, logits: np.ndarray, options: ConsoleOptions, lowest: float = -1.0) -> Text:
    """Values from ``lowest`` to 1 times the largest as bars; words that share a bar show the value of the last."""
    first, last = _signed(logits[0]), _signed(logits[-1])
    width = max(8, min(len(logits), options.max_width - len(first) - len(last) - len(f"{name}    ")))
    bars = ASCII_BARS if options.ascii_only else BARS
    ends = np.linspace(0, len(logits) - 1, min(width, len(logits))).round().astype(int)
    largest = np.abs(logits[np.isfinite(logits)]).max(initial=0) or 1.0
    text = Text(f"{name} {first} ")
    for value in logits[ends]:
        height = np.clip((np.nan_to_num(value) / largest - lowest) / (1 - lowest), 0, 1)
        bar = bars[min(int(height * len(bars)), len(bars) - 1)]
        text.append(bar, style=POSITIVE if value > 0 else NEGATIVE)
    return text.append(f" {last}")


def _crossings(logits: np.ndarray, words: tuple[str, ...], sides: tuple[str, str], unit: Unit) -> Text:
    side = logits > 0
    crossings = 1 + np.flatnonzero(side[1:] != side[:-1])
    if not len(crossings):
        return Text(f"never crosses zero: {sides[int(side[0])]} from the first {unit} on")
    last = f"at {unit} {crossings[-1] + 1} ({words[crossings[-1]]})"
    return Text(f"crosses zero {last}" if len(crossings) == 1 else f"crosses zero {len(crossings)} times, last {last}")


def _signed(value: float) -> str:
    return f"{value:+.2f}"
