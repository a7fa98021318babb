"""A text explained in the terminal: its words shaded, the logit along it, and the words that decide.

Where there is no colour (no terminal, or NO_COLOR is set) the same is said in numbers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

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

QUIET, LOUD = (28, 28, 28), (255, 140, 0)  # backgrounds from share 0 to 1, told apart with any colour vision
POSITIVE, NEGATIVE = "rgb(86,180,233)", "rgb(213,94,0)"
BARS, ASCII_BARS = "▁▂▃▄▅▆▇█", "_.,-=+*#"
WORTH_A_NUMBER = 0.05  # share from which a word is followed by its number where there is no colour
TITLES = ("word", "at", "connec-\ntivity", "share of\nlargest", "logit\nwithout it", "gradient\npredicts")
EACH = 3  # rows of the table: the words of the largest connectivity, and those without which most changes


@dataclass(frozen=True, eq=False)
class TextView:
    """One cell on one text, for ``Console.print``; ``explanation`` is of the T ``words``, ``known`` those with an id.

    Attributes:
        title: the cell, and the seed where there are several.
        words: T words.
        known: (T,) whether the vocabulary holds the word.
        explanation: what the cell makes of them.
        sides: the answers to which a logit below and above zero belong.
    """

    title: str
    words: tuple[str, ...]
    known: np.ndarray
    explanation: Explanation
    sides: tuple[str, str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The parts, from top to bottom."""
        coloured = _coloured(console)
        shown = _shaded if coloured else _numbered
        yield Text()
        yield Rule(Text(self.title, style="bold"), align="left", style="dim")
        yield Padding(shown(self.words, self.known, shares(self.explanation)), (0, 1), style=_background(0, coloured))
        yield _along(self.explanation.logits, options)
        yield _crossings(self.explanation.logits, self.words, self.sides)
        yield self._verdict()
        yield self._table()

    def _verdict(self) -> Text:
        logit = float(self.explanation.logits[-1])
        if not np.isfinite(logit):
            return Text(f"no verdict: the logit is {logit}", style="bold")
        other, verdict = self.sides if logit > 0 else self.sides[::-1]
        probability = float(1 / (1 + np.exp(np.float64(min(-logit, 700.0)))))
        text = Text(verdict, style=f"bold {POSITIVE if logit > 0 else NEGATIVE}")
        text.append(f" (probability of {self.sides[1]}: {percent(probability)})", "default not bold")
        most = decisive(self.explanation, self.known)[0]
        if (logit + self.explanation.measured[most] > 0) != (logit > 0):
            text.append(f'; without "{self.words[most]}" (word {most + 1}) it would be {other}', "default not bold")
        return text

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        for title in TITLES:
            table.add_column(title, justify="left" if title == "word" else "right", overflow="fold")
        told, share = self.explanation, shares(self.explanation)
        logit = told.logits[-1]
        for t in decisive(told, self.known):
            without, predicted = logit + told.measured[t], logit + told.predicted[t]
            turned = Text(_signed(without), style="bold" if without * logit < 0 else "")
            table.add_row(
                Text(self.words[t]), f"{t + 1}", f"{told.connectivity[t]:.2g}", percent(share[t]), turned,
                _signed(predicted),
            )  # fmt: skip
        return table


def legend(console: Console, sides: tuple[str, str]) -> Text:
    """How to read what follows, once for all cells; ``sides`` as ``TextView``."""
    if _coloured(console):
        text = Text()
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            text.append(f" {share:.0%} ", style=_background(share, True))
        text.append(" connectivity of a word, the size of the logit's gradient there, in percent of the largest. ")
    else:
        text = Text(
            "In brackets behind a word: its connectivity, the size of the logit's gradient there, in percent of the "
            f"largest; from {WORTH_A_NUMBER:.0%}. "
        )
    return text.append(
        "A word with ? is not in the vocabulary. The bars are the logit if the text ended there: 0 at half height, "
        f"above it {sides[1]}. The table holds the {EACH} words of the largest connectivity and the {EACH} that change "
        "the logit most when <unk> takes their place: the logit then, and what the gradient alone predicts."
    )


def shares(explanation: Explanation) -> Floats:
    """Connectivity (T,) as a share of the text's largest; zero everywhere where that is zero or not finite."""
    norms = explanation.connectivity.astype(np.float64)
    largest = norms.max()
    return norms / largest if 0 < largest < np.inf else np.zeros_like(norms)


def decisive(explanation: Explanation, known: np.ndarray) -> list[int]:
    """Positions of the known words that decide, by gradient or in fact; the largest measured change first."""
    effect = np.abs(explanation.measured)
    candidates = np.flatnonzero(known)
    chosen: set[int] = set()
    for strength in (explanation.connectivity, effect):
        chosen.update(candidates[np.argsort(-strength[candidates], kind="stable")][:EACH].tolist())
    return sorted(chosen, key=lambda t: (-effect[t], t))


def _coloured(console: Console) -> bool:
    return console.color_system is not None and not console.no_color


def _background(share: float, coloured: bool) -> str:
    """A style; the same on dark and light terminals, since text and background are both set."""
    if not coloured:
        return ""
    red, green, blue = (round(low + share * (high - low)) for low, high in zip(QUIET, LOUD, strict=True))
    return f"{'rgb(0,0,0)' if share > 0.6 else 'rgb(235,235,235)'} on rgb({red},{green},{blue})"


def _shaded(words: tuple[str, ...], known: np.ndarray, share: Floats) -> Text:
    text = Text()
    for t, word in enumerate(words):
        style = _background(share[t], True)
        text.append(word if known[t] else f"{word}?", style=style if known[t] else f"dim {style}").append(" ")
    return text


def _numbered(words: tuple[str, ...], known: np.ndarray, share: Floats) -> Text:
    marked = (word if known[t] else f"{word}?" for t, word in enumerate(words))
    numbers = (f"[{100 * s:.0f}]" if s >= WORTH_A_NUMBER else "" for s in share)
    return Text(" ".join(map("".join, zip(marked, numbers, strict=True))))


def _along(logits: np.ndarray, options: ConsoleOptions) -> Text:
    """The logit as a line of bars, the last of the words that share a bar; 0 at half height."""
    first, last = _signed(logits[0]), _signed(logits[-1])
    width = max(8, min(len(logits), options.max_width - len(first) - len(last) - len("logit    ")))
    bars = ASCII_BARS if options.ascii_only else BARS
    ends = np.linspace(0, len(logits) - 1, min(width, len(logits))).round().astype(int)
    largest = np.abs(logits[np.isfinite(logits)]).max(initial=0) or 1.0
    text = Text(f"logit {first} ")
    for value in logits[ends]:
        height = np.clip((np.nan_to_num(value) / largest + 1) / 2, 0, 1)
        bar = bars[min(int(height * len(bars)), len(bars) - 1)]
        text.append(bar, style=POSITIVE if value > 0 else NEGATIVE)
    return text.append(f" {last}")


def _crossings(logits: np.ndarray, words: tuple[str, ...], sides: tuple[str, str]) -> Text:
    side = logits > 0
    places = 1 + np.flatnonzero(side[1:] != side[:-1])
    if not len(places):
        return Text(f"never crosses zero: {sides[int(side[0])]} from the first word on")
    last = f"at word {places[-1] + 1} ({words[places[-1]]})"
    return Text(f"crosses zero {last}" if len(places) == 1 else f"crosses zero {len(places)} times, last {last}")


def _signed(value: float) -> str:
    return f"{value:+.2f}"
