"""``python -m benchmarks.start``: how long until something happens: ``--help``, and the first step of training."""

import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.machine import machine


@dataclasses.dataclass(frozen=True)
class Start:
    """Time the start of commands, each in a process of its own, in turns.

    The first step has been taken when its record is in metrics.jsonl. Cold: nothing was compiled before; warm: the
    same command has run once.

    Attributes:
        rounds: of which the median is told.
        command: what is trained until its first step.
    """

    rounds: int = 5
    command: str = "recall"


def main() -> None:
    """Measure, and print a table."""
    flags, console = tyro.cli(Start), Console()
    seconds: dict[str, list[float]] = {"python -c 'import jax'": [], "--help": [], "cold": [], "warm": []}
    for _ in track(range(flags.rounds), "starting", console=console, transient=True):
        with tempfile.TemporaryDirectory() as place:
            for what, call in _calls(flags.command, Path(place)).items():
                began = time.perf_counter()
                call()
                seconds[what].append(time.perf_counter() - began)
    table = Table("", "median", "lowest", "highest", title=machine(), title_justify="left")
    for what, all_of_them in seconds.items():
        name = f"{flags.command}, first step, {what}" if what in ("cold", "warm") else what
        shown = (f"{f(all_of_them):.2f} s" for f in (np.median, np.min, np.max))
        table.add_row(name, *shown)
    console.print(table)


def _calls(command: str, place: Path) -> dict[str, Callable[[], None]]:
    """In the order in which they are made; the one that is warm uses what the one before it compiled."""
    return {
        "python -c 'import jax'": lambda: _finish([sys.executable, "-c", "import jax"]),
        "--help": lambda: _finish([sys.executable, "launch.py", "--help"]),
        "cold": lambda: _first_step(command, place, "cold"),
        "warm": lambda: _first_step(command, place, "warm"),
    }


def _finish(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _first_step(command: str, place: Path, name: str) -> None:
    """Return when the first record is there; the run is stopped."""
    flags = f"{command} --compilation-cache {place / 'programs'} --out {place / name}"
    process = subprocess.Popen([sys.executable, "launch.py", *flags.split()], stdout=subprocess.DEVNULL)
    try:
        while not any(path.stat().st_size for path in (place / name).glob("members/*/metrics.jsonl")):
            if process.poll() is not None:
                raise RuntimeError(f"{flags} ended before its first step")
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
