"""``python -m benchmarks.show``: what was measured as Markdown tables and a figure."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from matplotlib.axes import Axes

from benchmarks.cases import Case
from benchmarks.layer import PASSES
from rnnjax.report.style import FAINT, INK, KNOWN, OTHERS, WIDE, panels, png

CELLS = {"simple": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}
DIVIDED = "rnnjax, all cores"
TITLES = ("forward", "forward + backward")
Rounds = dict[str, list[float]]


@dataclasses.dataclass(frozen=True)
class Show:
    """Print the tables of one measurement of layers, and draw its figure.

    Attributes:
        measured: JSON file that ``benchmarks.layer --out`` has written.
        figure: PNG file for the figure; none if not given.
    """

    measured: str
    figure: str | None = None


def main() -> None:
    """Print, and draw."""
    flags = tyro.cli(Show)
    told = json.loads(Path(flags.measured).read_text())
    for case in told["measured"]:
        print(f"\n**{_title(case)}**, floor {1e3 * case['floor']:.1f} ms\n")
        print("| | " + " | ".join(f"{title} | of PyTorch" for title in TITLES) + " |\n|---|" + "---:|" * 4)
        for name in case["seconds"][PASSES[0]]:
            fields = []
            for what in PASSES:
                fields += [f"{1e3 * np.median(case['seconds'][what][name]):.1f} ms", f"{ratio(case, what, name):.2f}"]
            print(f"| {name} | " + " | ".join(fields) + " |")
    if flags.figure is not None:
        Path(flags.figure).write_bytes(draw(told["measured"]))


def ratio(case: dict[str, Any], what: str, name: str, to: str = "PyTorch") -> float:
    """How many times as long as another peer: the median of the ratios of each round."""
    rounds: Rounds = case["seconds"][what]
    return float(np.median(np.array(rounds[name]) / np.array(rounds[to])))


def draw(measured: list[dict[str, Any]]) -> bytes:
    """Forward and backward pass of every case: each peer's time as a multiple of ours on all cores."""
    names = list(dict.fromkeys(name for case in measured for name in case["seconds"][PASSES[1]] if name != DIVIDED))
    figure, axes = panels(len(CELLS), WIDE, 3.4)
    for panel, (cell, title) in zip(axes, CELLS.items(), strict=True):
        own = [case for case in measured if case["case"]["cell"] == cell]
        _draw_cell(panel, own, names)
        panel.set_title(title, loc="left", color=INK, fontsize=11)
    axes[0].set_ylabel("forward + backward,\ntimes rnnjax on all cores", color=INK)
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside upper left", ncols=8, frameon=False, fontsize=9)
    return png(figure)


def _draw_cell(panel: Axes, cases: list[dict[str, Any]], names: list[str]) -> None:
    places = np.arange(len(cases))
    hues = dict(zip(names, [KNOWN["LSTM"], "#9ECAE9", *OTHERS, KNOWN["GRU"]], strict=False))
    for k, name in enumerate(names):
        heights = [
            ratio(case, PASSES[1], name, DIVIDED) if name in case["seconds"][PASSES[1]] else np.nan for case in cases
        ]
        offset = (k - (len(names) - 1) / 2) * 0.1
        panel.scatter(places + offset, heights, s=28, color=hues[name], label=name, zorder=3)
    panel.axhline(1, color=FAINT, linewidth=1)
    panel.set_yscale("log")
    panel.set_yticks([0.5, 1, 2, 4, 8], ["½", "1", "2", "4", "8"])
    panel.minorticks_off()
    panel.set_xticks(places, [_title(case, short=True) for case in cases], fontsize=8)


def _title(case: dict[str, Any], short: bool = False) -> str:
    told = Case(**case["case"])
    sizes = f"{told.batch}, {told.steps}, {told.features}"
    return sizes.replace(", ", "\n") if short else f"{CELLS[told.cell]} ({sizes})"


if __name__ == "__main__":
    main()
