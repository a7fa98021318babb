"""``python -m benchmarks.start``: the time to ``--help`` and to the first training step."""

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

    The first step is done when its record is in metrics.jsonl. Cold: nothing was compiled before; warm: the same
    command has run once.

    Attributes:
        rounds: rounds, of which the median is shown.
        command: experiment that is trained until its first step.
    """

    rounds: int = 5
    command: str = "recall"


def main() -> None:
    """Measure, and print a table."""
    flags, console = tyro.cli(Start), Console()
    seconds: dict[str, list[float]] = {"python -c 'import jax'": [], "--help": [], "cold": [], "warm": []}
    for _ in track(range(flags.rounds), "starting", console=console, transient=True):
        with tempfile.TemporaryDirectory() as folder:
            for what, call in _calls(flags.command, Path(folder)).items():
                began = time.perf_counter()
                call()
                seconds[what].append(time.perf_counter() - began)
    table = Table("", "median", "lowest", "highest", title=machine(), title_justify="left")
    for what, values in seconds.items():
        name = f"{flags.command}, first step, {what}" if what in ("cold", "warm") else what
        shown = (f"{f(values):.2f} s" for f in (np.median, np.min, np.max))
        table.add_row(name, *shown)
    console.print(table)


def _calls(command: str, folder: Path) -> dict[str, Callable[[], None]]:
    """The timed calls in order; the warm one uses the programs that the cold one compiled."""
    return {
        "python -c 'import jax'": lambda: _finish([sys.executable, "-c", "import jax"]),
        "--help": lambda: _finish([sys.executable, "launch.py", "--help"]),
        "cold": lambda: _first_step(command, folder, "cold"),
        "warm": lambda: _first_step(command, folder, "warm"),
    }


def _finish(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _first_step(command: str, folder: Path, name: str) -> None:
    """Wait for the first record of a run, then kill it."""
    flags = f"{command} --compilation-cache {folder / 'programs'} --out {folder / name}"
    process = subprocess.Popen([sys.executable, "launch.py", *flags.split()], stdout=subprocess.DEVNULL)
    try:
        if not wait_for_record(process, folder / name):
            raise RuntimeError(f"{flags} ended before its first step")
    finally:
        process.kill()
        process.wait()


def wait_for_record(process: subprocess.Popen[bytes], run: Path) -> bool:
    """Wait until a run has written the record of its first step, or its process has ended; whether there is one."""
    while not any(path.stat().st_size for path in run.glob("members/*/metrics.jsonl")):
        if process.poll() is not None:
            return False
        time.sleep(0.01)
    return True


if __name__ == "__main__":
    main()
