"""``python -m benchmarks.show``: what was measured as Markdown tables and a figure."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.cases import Case
from benchmarks.layer import PASSES
from rnnjax.report.style import FAINT, INK, KNOWN, OTHERS, WIDE, panels, png

CELLS = {"simple": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}
DIVIDED = "rnnjax, all cores"
TITLES = ("forward", "forward + backward")
Rounds = dict[str, list[float]]


@dataclasses.dataclass(frozen=True)
class Show:
    """Print the tables of measurements of layers, and draw their figure.

    Attributes:
        measured: JSON files that ``benchmarks.layer --out`` has written.
        figure: PNG file for the figure; none if not given.
    """

    measured: tyro.conf.Positional[tuple[str, ...]]
    figure: str | None = None


def main() -> None:
    """Print, and draw."""
    flags = tyro.cli(Show)
    measured = [case for file in flags.measured for case in json.loads(Path(file).read_text())["measured"]]
    for case in measured:
        print(f"\n**{_title(case)}**, floor {1e3 * case['floor']:.1f} ms\n")
        print("| | " + " | ".join(f"{title} | times ours" for title in TITLES) + " |\n|---|" + "---:|" * 4)
        for name in case["seconds"][PASSES[0]]:
            fields = []
            for what in PASSES:
                fields += [f"{1e3 * np.median(case['seconds'][what][name]):.1f} ms", f"{ratio(case, what, name):.2f}"]
            print(f"| {name} | " + " | ".join(fields) + " |")
    if flags.figure is not None:
        Path(flags.figure).write_bytes(draw(measured))


def ratio(case: dict[str, Any], what: str, name: str) -> float:
    """How many times as long as ours on all cores: the median of the ratios of each round."""
    rounds: Rounds = case["seconds"][what]
    return float(np.median(np.array(rounds[name]) / np.array(rounds[DIVIDED])))


def draw(measured: list[dict[str, Any]]) -> bytes:
    """A row for each case: every peer's time for a forward and backward pass, as a multiple of ours on all cores."""
    names = list(dict.fromkeys(name for case in measured for name in case["seconds"][PASSES[1]] if name != DIVIDED))
    figure, (panel,) = panels(1, WIDE, 0.45 * len(measured))
    places = -np.arange(len(measured))
    for name, hue in zip(names, (KNOWN["LSTM"], "#9ECAE9", *OTHERS, KNOWN["GRU"]), strict=False):
        there = [name in case["seconds"][PASSES[1]] for case in measured]
        times = [ratio(case, PASSES[1], name) for case, is_there in zip(measured, there, strict=True) if is_there]
        panel.scatter(times, places[there], s=44, color=hue, label=name, zorder=3)
    panel.axvline(1, color=FAINT, linewidth=1.5)
    panel.set_xscale("log")
    panel.set_xticks([0.5, 1, 2, 4, 8, 16, 32, 64], ["½", "1", "2", "4", "8", "16", "32", "64"])
    panel.minorticks_off()
    panel.set_yticks(places, [_title(case) for case in measured], fontsize=9)
    panel.set_xlabel("time of a forward and a backward pass, as a multiple of rnnjax on all cores", color=INK)
    figure.legend(loc="outside upper left", ncols=len(names), frameon=False, fontsize=9, columnspacing=1.0)
    return png(figure)


def _title(case: dict[str, Any]) -> str:
    told = Case(**case["case"])
    return f"{CELLS[told.cell]} ({told.batch}, {told.steps}, {told.features})"


if __name__ == "__main__":
    main()
