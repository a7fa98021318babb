"""``python -m benchmarks.show``: measurements of layers as Markdown tables and a figure."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.cases import Case
from benchmarks.layer import DIVIDED, PASSES, times_ours
from rnnjax.report.figures.style import CELL_COLOURS, FAINT, INK, OTHER_COLOURS, WIDE, panels, png

CELLS = {"simple": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}
TITLES = ("forward", "forward + backward")


@dataclasses.dataclass(frozen=True)
class Show:
    """Print the tables of measured layers, and draw their figure.

    Attributes:
        measured: JSON files written by ``benchmarks.layer --out``.
        figure: PNG file for the figure; none if not given.
    """

    measured: tyro.conf.Positional[tuple[str, ...]]
    figure: str | None = None


def main() -> None:
    """Print and draw."""
    flags = tyro.cli(Show)
    measured = [case for file in flags.measured for case in json.loads(Path(file).read_text())["measured"]]
    for case in measured:
        print(f"\n**{_title(case)}**, floor {1e3 * case['floor']:.1f} ms\n")
        print("| | " + " | ".join(f"{title} | times ours" for title in TITLES) + " |\n|---|" + "---:|" * 4)
        for name in case["seconds"][PASSES[0]]:
            fields = []
            for rounds in (case["seconds"][what] for what in PASSES):
                fields += [f"{1e3 * np.median(rounds[name]):.1f} ms", f"{times_ours(rounds, name):.2f}"]
            print(f"| {name} | " + " | ".join(fields) + " |")
    if flags.figure is not None:
        Path(flags.figure).write_bytes(draw(measured))


def draw(measured: list[dict[str, Any]]) -> bytes:
    """A row for each case: the time of a forward and backward pass in every library, relative to ours on all cores."""
    seconds = [case["seconds"][PASSES[1]] for case in measured]
    names = list(dict.fromkeys(name for of_case in seconds for name in of_case if name != DIVIDED))
    figure, (panel,) = panels(1, WIDE, 0.45 * len(measured))
    places = -np.arange(len(measured))
    for name, hue in zip(names, (CELL_COLOURS["LSTM"], "#9ECAE9", *OTHER_COLOURS, CELL_COLOURS["GRU"]), strict=False):
        times = [times_ours(of_case, name) for of_case in seconds if name in of_case]
        there = [name in of_case for of_case in seconds]
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
    size = Case(**case["case"])
    return f"{CELLS[size.cell]} ({size.batch}, {size.steps}, {size.features})"


if __name__ == "__main__":
    main()
