"""``python -m benchmarks.study``: seeds an hour of whole commands, by the number of seeds that train side by side."""

import dataclasses
import subprocess
import sys
import tempfile
import time

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.machine import machine


@dataclasses.dataclass(frozen=True)
class Study:
    """Time whole commands in turns, with programs from the compilation cache.

    Attributes:
        seeds: numbers of seeds in one command.
        command: experiment and flags.
        rounds: rounds, of which the median is shown.
    """

    seeds: tuple[int, ...] = (1, 2, 4, 8, 16)
    command: str = "recall --cells lstm --log-gradients-every 0"
    rounds: int = 3


def main() -> None:
    """Measure, and print a table."""
    flags, console = tyro.cli(Study), Console()
    seconds: dict[int, list[float]] = {count: [] for count in flags.seeds}
    with tempfile.TemporaryDirectory() as parent:
        for turn in track(range(flags.rounds + 1), "training", console=console, transient=True):
            for count in flags.seeds:
                folder = f"{parent}/{turn}-{count}"
                options = f"{flags.command} --seeds {count} --compilation-cache {parent}/programs --out {folder}"
                began = time.perf_counter()
                subprocess.run([sys.executable, "launch.py", *options.split()], check=True, stdout=subprocess.DEVNULL)
                seconds[count].append(time.perf_counter() - began)
    table = Table("seeds", "a command", "seeds an hour", title=f"{machine()}; {flags.command}", title_justify="left")
    for count, values in seconds.items():
        median = float(np.median(values[1:]))  # the first round compiles
        table.add_row(str(count), f"{median:.1f} s", f"{3600 * count / median:.0f}")
    console.print(table)


if __name__ == "__main__":
    main()
