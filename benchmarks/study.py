"""``python -m benchmarks.study``: seeds an hour, from one command to its report, by how many are trained at once."""

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
    """Time whole commands, in turns; what was compiled is used again, as in all studies but the first.

    Attributes:
        seeds: in one command.
        command: what is trained.
        rounds: of which the median is told.
    """

    seeds: tuple[int, ...] = (1, 2, 4, 8, 16)
    command: str = "recall --cells lstm --log-gradients-every 0"
    rounds: int = 3


def main() -> None:
    """Measure, and print a table."""
    flags, console = tyro.cli(Study), Console()
    seconds: dict[int, list[float]] = {count: [] for count in flags.seeds}
    with tempfile.TemporaryDirectory() as place:
        for turn in track(range(flags.rounds + 1), "training", console=console, transient=True):
            for count in flags.seeds:
                folder = f"{place}/{turn}-{count}"
                options = f"{flags.command} --seeds {count} --compilation-cache {place}/programs --out {folder}"
                began = time.perf_counter()
                subprocess.run([sys.executable, "launch.py", *options.split()], check=True, stdout=subprocess.DEVNULL)
                seconds[count].append(time.perf_counter() - began)
    table = Table("seeds", "a command", "seeds an hour", title=f"{machine()}; {flags.command}", title_justify="left")
    for count, all_of_them in seconds.items():
        median = float(np.median(all_of_them[1:]))  # without the round in which programs were compiled
        table.add_row(str(count), f"{median:.1f} s", f"{3600 * count / median:.0f}")
    console.print(table)


if __name__ == "__main__":
    main()
