"""``python -m benchmarks.whole``: the whole IMDB command, from Enter to its last line, beside Keras's tutorial."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.cases import CellName
from benchmarks.epoch import BACKENDS, VOCABULARY, WORDS
from benchmarks.machine import machine, versions
from benchmarks.start import wait_for_record
from rnnjax.data.tfds.imdb import imdb
from rnnjax.errors import UserError

COLD, WARM = "rnnjax, cold", "rnnjax, warm"
COMMAND = "imdb --cells {cell} --epochs 1"
PARTS = ("first_record_seconds", "compile_seconds", "seconds")  # of our command
KERAS_WITHOUT_CACHE = {"JAX_ENABLE_COMPILATION_CACHE": "false", "JAX_COMPILATION_CACHE_DIR": ""}

Round = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Whole:
    """Time whole commands, each in a process of its own, in turns.

    Ours trains for one epoch with the gradient of every timestep logged, validates, tests, diagnoses and writes the
    report: cold with no compiled program, then warm with those that it compiled just before. Keras trains for one epoch
    and tests. The reviews were encoded before, and all read the same cached words.

    Attributes:
        cells: cells to train.
        peers: libraries to compare with rnnjax.
        rounds: rounds, of which the median is shown.
        out: JSON file for the results of every round; none if not given.
    """

    cells: tuple[CellName, ...] = ("lstm",)
    peers: tuple[str, ...] = tuple(BACKENDS)
    rounds: int = 3
    out: str | None = None


def main() -> None:
    """Measure, and print the tables of each cell when it is done."""
    flags, console = tyro.cli(Whole), Console()
    console.print(f"{machine()}; {', '.join(' '.join(item) for item in versions().items())}")
    try:
        imdb(data_dir=None, vocabulary_size=VOCABULARY, max_length=WORDS, keep="last", validation_fraction=0.1, seed=0)
    except UserError as error:
        sys.exit(f"error: {error}")
    measured = {}
    for cell in flags.cells:
        results: dict[str, list[Round]] = {name: [] for name in (COLD, WARM, *flags.peers)}
        for turn in range(flags.rounds):
            with tempfile.TemporaryDirectory() as folder:
                for name in results:
                    console.print(f"{cell}, round {turn + 1} of {flags.rounds}: {name}")
                    ours = name in (COLD, WARM)
                    results[name].append(_ours(cell, Path(folder), name) if ours else _keras(name, cell))
        console.print(whole_table(cell, results))
        console.print(parts_table(cell, results))
        measured[cell] = results
    if flags.out is not None:
        content = {"machine": machine(), "versions": versions(), "measured": measured}
        Path(flags.out).write_text(json.dumps(content, indent=1))


def _ours(cell: CellName, folder: Path, name: str) -> Round:
    """One command with the compiled programs that are in ``folder``."""
    run = folder / name.replace(", ", "-")
    command = COMMAND.format(cell=cell).split()
    options = ["--compilation-cache", str(folder / "programs"), "--out", str(run)]
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "launch.py", *command, *options], stdout=subprocess.DEVNULL)
    wait_for_record(process, run)
    first = time.perf_counter() - began
    status, whole = process.wait(), time.perf_counter() - began
    if status:
        raise RuntimeError(f"launch.py {' '.join(command)} ended with status {status}")
    (path,) = run.glob("members/*/result.json")
    result: dict[str, Any] = json.loads(path.read_text())
    names = ("compile_seconds", "seconds", "test_accuracy")
    return {"whole": whole, "first_record_seconds": first} | {name: result[name] for name in names}


def _keras(peer: str, cell: CellName) -> Round:
    """One tutorial, whose programs are compiled every time."""
    environment = os.environ | KERAS_WITHOUT_CACHE | {"KERAS_BACKEND": BACKENDS[peer]}
    command = [sys.executable, "-m", "benchmarks.keras_whole", "--cell", cell]
    began = time.perf_counter()
    printed = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout
    whole = time.perf_counter() - began
    return {"whole": whole, "test_accuracy": json.loads(printed.splitlines()[-1])["test_accuracy"]}


def whole_table(cell: CellName, results: dict[str, list[Round]]) -> Table:
    """Seconds of the whole command; a multiple of our time is the median of the ratios within a round."""
    table = _table(
        f"{cell}, the whole command",
        "median", "lowest", "highest", "test accuracy", "times ours, cold", "times ours, warm",
    )  # fmt: skip
    cold, warm = (_column(results[name], "whole") for name in (COLD, WARM))
    for name, rounds in results.items():
        seconds, accuracy = _column(rounds, "whole"), np.median(_column(rounds, "test_accuracy"))
        shown = [f"{f(seconds):.1f} s" for f in (np.median, np.min, np.max)]
        ratios = [f"{np.median(seconds / ours):.2f}" for ours in (cold, warm)]
        table.add_row(name, *shown, f"{100 * accuracy:.1f}%", *ratios)
    return table


def parts_table(cell: CellName, results: dict[str, list[Round]]) -> Table:
    """Medians of what our command took until its first record, for compiling, and for the steps of the epoch."""
    table = _table(f"{cell}, parts of ours", "first record after", "compiling", "epoch")
    for name in (COLD, WARM):
        table.add_row(name, *(f"{np.median(_column(results[name], part)):.1f} s" for part in PARTS))
    return table


def _column(rounds: list[Round], name: str) -> np.ndarray:
    return np.array([result[name] for result in rounds])


def _table(title: str, *columns: str) -> Table:
    table = Table("", title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    return table


if __name__ == "__main__":
    main()
