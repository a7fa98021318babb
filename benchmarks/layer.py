"""``python -m benchmarks.layer``: forward and backward pass of one recurrent layer, in rnnjax and other libraries."""

import contextlib
import dataclasses
import json
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.cases import Case, CellName
from benchmarks.machine import machine, multiply_adds_a_second, versions
from benchmarks.peers import ALL, PEERS
from benchmarks.workers import Worker

SIZES = ("32,200,128", "32,500,128", "64,100,256", "256,100,512", "1,2000,64")
OURS, DIVIDED = "rnnjax", "rnnjax, all cores"  # the reference for results, and for times
PASSES = ("forward", "gradient")
TOLERANCE = 1e-3  # relative to the largest number; float32 after hundreds of steps


@dataclasses.dataclass(frozen=True)
class Layers:
    """Compare the results of one recurrent layer in every library, then time them in turns, each in its own process.

    Attributes:
        cells: cells to time.
        sizes: sizes B,T,H.
        peers: libraries to compare with rnnjax.
        rounds: rounds, of which the median is shown; each library runs once in a round.
        out: JSON file for the seconds of every round; none if not given.
    """

    cells: tuple[CellName, ...] = ALL
    sizes: tuple[str, ...] = SIZES
    peers: tuple[str, ...] = tuple(PEERS)
    rounds: int = 11
    out: str | None = None

    def cases(self) -> list[Case]:
        """Every cell at every size."""
        return [Case(cell, *map(int, size.split(","))) for size in self.sizes for cell in self.cells]


def main() -> None:
    """Measure, and print the table of each case when it is done."""
    flags, console = tyro.cli(Layers), Console()
    rate = multiply_adds_a_second()
    console.print(f"{machine()}; {', '.join(' '.join(item) for item in versions().items())}")
    console.print(f"large matrix product: {rate / 1e9:.0f} billion multiply-adds a second")
    measured = []
    for case in flags.cases():
        names = [name for name in dict.fromkeys((OURS, DIVIDED, *flags.peers)) if case.cell in PEERS[name].cells]
        seconds = measure(case, names, flags.rounds, console)
        console.print(table(case, seconds, case.multiply_adds / rate))
        measured.append({"case": case._asdict(), "floor": case.multiply_adds / rate, "seconds": seconds})
        if flags.out is not None:
            metadata = {"machine": machine(), "versions": versions(), "multiply_adds_a_second": rate}
            Path(flags.out).write_text(json.dumps({**metadata, "measured": measured}, indent=1))


def measure(case: Case, names: list[str], rounds: int, console: Console) -> dict[str, dict[str, list[float]]]:
    """Pass -> library -> seconds of every round, without libraries that fail or give another result."""
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in names:  # one after the other, because compilation uses all cores
            worker = stack.enter_context(Worker(name, case))
            try:
                worker.wait()
                result = worker.ask("check")
            except RuntimeError as error:
                if name in (OURS, DIVIDED):  # with which the others are compared
                    raise SystemExit(f"{name} fails in {case.title}: {error}") from None
                console.print(f"{name} fails in {case.title}: {error}", style="yellow")
                continue
            if name == OURS:
                expected = result
            elif (deviation := max(map(difference, result, expected))) > TOLERANCE:
                if name == DIVIDED:
                    raise SystemExit(f"{name} gives another result in {case.title}, off by {deviation:.1e}")
                console.print(f"{name} gives another result in {case.title}, off by {deviation:.1e}", style="yellow")
                continue
            for what in PASSES:
                worker.ask(what)
            workers[name] = worker
        seconds: dict[str, dict[str, list[float]]] = {what: {name: [] for name in workers} for what in PASSES}
        order = list(workers)
        for turn in track(range(rounds), case.title, console=console, transient=True):
            for name in order[turn % len(order) :] + order[: turn % len(order)]:
                for what in PASSES:
                    seconds[what][name].append(workers[name].ask(what))
    return seconds


def difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference relative to the largest expected number; infinity if the shapes differ."""
    if actual.shape != expected.shape:
        return np.inf
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def table(case: Case, seconds: dict[str, dict[str, list[float]]], floor: float) -> Table:
    """Medians in milliseconds, and as multiples of rnnjax's time on all cores."""
    shown = Table(title=f"{case.title}; floor {1e3 * floor:.1f} ms", title_justify="left")
    for title in ("peer", "forward", "times ours", "forward + backward", "times ours"):
        shown.add_column(title, justify="left" if title == "peer" else "right")
    for name in seconds[PASSES[0]]:
        fields = []
        for what in PASSES:
            fields += [f"{1e3 * np.median(seconds[what][name]):.1f} ms", f"{times_ours(seconds[what], name):.2f}"]
        shown.add_row(name, *fields)
    return shown


def times_ours(seconds: dict[str, list[float]], name: str) -> float:
    """The ratio of a library's time to ours on all cores, median over the rounds."""
    return float(np.median(np.array(seconds[name]) / np.array(seconds[DIVIDED])))


if __name__ == "__main__":
    main()
