"""``python -m benchmarks.growth``: time and memory of studies, reports and text data against their size."""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine

MIB = 2**20 if sys.platform == "darwin" else 2**10  # the unit of ru_maxrss is a byte on macOS, elsewhere a KiB
STUDY = (
    "launch.py recall --cells simple --features 4 --embedding 4 --steps 8 --min-distance 5 --max-distance 10 "
    "--batch-size 16 --log-gradients-every 4"
)
PARTS = "-m benchmarks.growth_parts"
NOISE = 0.1  # share of the smallest size's cost


@dataclasses.dataclass(frozen=True)
class Growth:
    """Time commands and take the largest memory of their processes, each in a process of its own, on Linux or macOS.

    Every part has a size; one without sizes is left out.

    Attributes:
        runs: seeds of one tiny study of recall, with its report.
        seeds: members of the run folder of a report, seeds of one cell with 40 logged steps each.
        values: members of the run folder of a report, one for each value of a swept flag, with 40 logged steps each.
        logged: logged steps of the single member of a report; for each there are ten training steps.
        lines: lines of twenty words of a text data set that is read, split and encoded.
        rounds: rounds, of which the median is shown.
        out: PNG file for the figure; none if not given.
    """

    runs: tuple[int, ...] = (1, 5, 20, 50, 200)
    seeds: tuple[int, ...] = (1, 5, 20, 50, 200)
    values: tuple[int, ...] = (2, 5, 20, 50, 200)
    logged: tuple[int, ...] = (10, 100, 1000, 10_000)
    lines: tuple[int, ...] = (1000, 10_000, 100_000, 1_000_000)
    rounds: int = 1
    out: str | None = None


class Cost(NamedTuple):
    """What a process took."""

    seconds: float
    mib: float  # most memory at once


class Part(NamedTuple):
    """Something that grows: its input of a size is made in a folder, and the command that is measured comes of it."""

    title: str
    sizes: tuple[int, ...]
    command: Callable[[int, Path], list[str]]


def main() -> None:
    """Measure, and print the table of each part when it is done."""
    flags, console = tyro.cli(Growth), Console()
    console.print(machine())
    measured = {}
    for part in filter(lambda part: part.sizes, parts(flags)):
        costs = [measure(part, size, flags.rounds) for size in part.sizes]
        console.print(growth_table(part, costs))
        measured[part] = costs
    if flags.out is not None:
        Path(flags.out).write_bytes(draw(measured))


def parts(flags: Growth) -> tuple[Part, ...]:
    """All parts with the sizes of the flags."""
    return (
        Part("study: runs", flags.runs, _study),
        Part("report: seeds", flags.seeds, lambda size, folder: _report(folder, "--seeds", size)),
        Part("report: swept values", flags.values, lambda size, folder: _report(folder, "--values", size)),
        Part(
            "report: logged steps", flags.logged, lambda size, folder: _report(folder, "--logged", size, "--lags", 50)
        ),
        Part("text data: lines", flags.lines, _text),
    )


def _study(runs: int, folder: Path) -> list[str]:
    """Programs are compiled once for each number of runs that train side by side."""
    return [*STUDY.split(), "--seeds", str(runs), "--compilation-cache", f"{folder}/programs", "--out", f"{folder}/run"]


def _report(folder: Path, *options: str | int) -> list[str]:
    run_python([*PARTS.split(), "write-run", f"{folder}/run", *map(str, options)])
    return ["launch.py", "report", f"{folder}/run"]


def _text(lines: int, folder: Path) -> list[str]:
    run_python([*PARTS.split(), "write-text", f"{folder}/lines.tsv", "--lines", str(lines)])
    return [*PARTS.split(), "prepare-text", f"{folder}/lines.tsv"]


def measure(part: Part, size: int, rounds: int) -> Cost:
    """The median cost of a part at one size."""
    costs = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            costs.append(run_python(part.command(size, Path(folder))))
    return Cost(*np.median(costs, axis=0).tolist())


def run_python(arguments: Sequence[str]) -> Cost:
    """Run a command of Python to its end.

    A process starts with the memory that its parent has as its largest, so that of this module must stay small: it
    imports neither JAX nor Matplotlib before all is measured.
    """
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"python {' '.join(arguments)} ended with status {process.returncode}")
    return Cost(time.perf_counter() - began, usage.ru_maxrss / MIB)


def growth_table(part: Part, costs: Sequence[Cost]) -> Table:
    """Costs by size, and the exponents with which they grow from one size to the next."""
    table = Table(title=part.title, title_justify="left")
    for name in ("size", "seconds", "exponent", "without start", "MiB", "exponent", "without start"):
        table.add_column(name, justify="right")
    columns = []
    for values in np.array(costs).T:
        rates = exponents(part.sizes, values), exponents(part.sizes, values, without_start=True)
        columns += [[f"{value:.1f}" for value in values], *([_shown(rate) for rate in column] for column in rates)]
    for size, *row in zip(part.sizes, *columns, strict=True):
        table.add_row(f"{size:,}", *row)
    return table


def exponents(sizes: Sequence[int], values: np.ndarray, *, without_start: bool = False) -> np.ndarray:
    """The exponents p of value ∝ size^p between each size and the one before, NaN at the first.

    Args:
        sizes: (S,), ascending.
        values: (S,) seconds or memory.
        without_start: take off sizes and values those of the smallest size, so that p is 1 for all that grows in
            proportion on top of a constant. NaN where less is left than ``NOISE`` of the smallest size's value.
    """
    left_sizes, left_values, least = np.array(sizes, np.float64), np.array(values, np.float64), 0.0
    if without_start:
        least = NOISE * left_values[0]
        left_sizes, left_values = left_sizes - left_sizes[0], left_values - left_values[0]
    logs = [np.log(np.where(left > bound, left, np.nan)) for left, bound in ((left_values, least), (left_sizes, 0))]
    return np.concatenate([[np.nan], np.diff(logs[0]) / np.diff(logs[1])])


def _shown(rate: float) -> str:
    return "" if np.isnan(rate) else f"{rate:.2f}"


def draw(measured: dict[Part, list[Cost]]) -> bytes:
    """Seconds and memory against size, a line for each part, and a slope in proportion to the size."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    from rnnjax.report.figures.style import CELL_COLOURS, FAINT, INK, OTHER_COLOURS, WIDE, panels, png

    figure, axes = panels(2, WIDE, 3.4, share_y=False)
    for panel, field, name in zip(axes, Cost._fields, ("seconds", "MiB"), strict=True):
        for part, hue in zip(measured, (*CELL_COLOURS.values(), *OTHER_COLOURS), strict=False):
            values = [getattr(cost, field) for cost in measured[part]]
            panel.plot(part.sizes, values, color=hue, marker="o", markersize=4, label=part.title)
        low = min(getattr(cost, field) for costs in measured.values() for cost in costs)
        sizes = [size for part in measured for size in part.sizes]
        panel.set_xscale("log")
        panel.set_yscale("log")
        limits = panel.get_ylim()
        panel.plot(
            [max(sizes) / 1000, max(sizes)], [low, 1000 * low], color=FAINT, linestyle=":", label="in proportion"
        )
        panel.set_ylim(limits)
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.set_xlabel("size", color=INK)
        panel.set_ylabel(name, color=INK)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), frameon=False, fontsize=9)
    return png(figure)


if __name__ == "__main__":
    main()
