"""``python -m benchmarks.epoch``: one epoch of the IMDB models in rnnjax and Keras.

Both get the same words of the same reviews in batches of 32. For Keras every review is padded in front to 500 words, as
in its tutorials.
"""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.cases import GATES, CellName
from benchmarks.machine import bytes_a_second, machine, multiply_adds_a_second, versions
from benchmarks.peers import ALL
from rnnjax.data.dataset import Examples
from rnnjax.data.tfds.imdb import imdb
from rnnjax.errors import UserError

OURS = "rnnjax"
BACKENDS = {"Keras, JAX": "jax", "Keras, TensorFlow": "tensorflow"}
FEATURES, VOCABULARY, WORDS, BATCH = 128, 20000, 500, 32
ADAM = 7  # numbers per weight read or written in a step: gradient, weight and two moments read, the last three written


@dataclasses.dataclass(frozen=True)
class Epochs:
    """Train each model for one epoch in a process of its own, in turns, and test it.

    Attributes:
        cells: cells to train.
        peers: libraries to compare with rnnjax.
        rounds: rounds, of which the median is shown.
        out: JSON file for the results of every round; none if not given.
    """

    cells: tuple[CellName, ...] = ALL
    peers: tuple[str, ...] = tuple(BACKENDS)
    rounds: int = 1
    out: str | None = None


def main() -> None:
    """Measure, and print the table of each cell when it is done."""
    flags, console = tyro.cli(Epochs), Console()
    console.print(f"{machine()}; {', '.join(' '.join(item) for item in versions().items())}")
    try:
        data = imdb(
            data_dir=None, vocabulary_size=VOCABULARY, max_length=WORDS, keep="last", validation_fraction=0.1, seed=0
        )
    except UserError as error:
        sys.exit(f"error: {error}")
    rates, measured = (multiply_adds_a_second(), bytes_a_second()), {}
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "reviews.npz"
        np.savez(
            arrays, x_train=pad_in_front(data.train), y_train=data.train.labels,
            x_test=pad_in_front(data.test), y_test=data.test.labels,
        )  # fmt: skip
        for cell in flags.cells:
            results: dict[str, list[dict[str, float]]] = {name: [] for name in (OURS, *flags.peers)}
            for turn in range(flags.rounds):
                for name in results:
                    console.print(f"{cell}, round {turn + 1} of {flags.rounds}: {name}")
                    results[name].append(_ours(cell, Path(folder)) if name == OURS else _keras(name, cell, arrays))
            floor = least_seconds(cell, data.train, data.validation, *rates)
            console.print(table(cell, results, floor))
            measured[cell] = {"floor": floor, "rounds": results}
    if flags.out is not None:
        metadata = {
            "machine": machine(),
            "versions": versions(),
            "multiply_adds_a_second": rates[0],
            "bytes_a_second": rates[1],
        }
        Path(flags.out).write_text(json.dumps({**metadata, "measured": measured}, indent=1))


def least_seconds(
    cell: CellName, train: Examples, validation: Examples, multiply_adds: float, moved_bytes: float
) -> float:
    """A lower bound for the seconds of an epoch.

    It counts the matrix products of the words without padding, in training (three for each of the forward pass) and in
    validation, and Adam's memory traffic over the word vectors, which are larger than the cache.
    """
    words = 3 * int(train.lengths.sum()) + int(validation.lengths.sum())
    steps = len(train.lengths) / BATCH
    moved = steps * ADAM * VOCABULARY * FEATURES * np.dtype(np.float32).itemsize
    return words * GATES[cell] * 2 * FEATURES**2 / multiply_adds + moved / moved_bytes


def pad_in_front(examples: Examples) -> np.ndarray:
    """The words (N, T) at the end of their rows, zeros before them."""
    length = examples.inputs.shape[1]
    indices = (np.arange(length) - (length - examples.lengths[:, None])) % length
    return np.take_along_axis(examples.inputs, indices, axis=1)


def _ours(cell: CellName, parent: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        flags = f"imdb --cells {cell} --epochs 1 --log-gradients-every 0 --compilation-cache off --out {folder}/run"
        subprocess.run([sys.executable, "launch.py", *flags.split()], check=True, stdout=subprocess.DEVNULL)
        (path,) = Path(folder).glob("run/members/*/result.json")
        result: dict[str, Any] = json.loads(path.read_text())
    return {name: result[name] for name in ("compile_seconds", "seconds", "test_accuracy")}


def _keras(peer: str, cell: CellName, arrays: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.keras_epoch", "--arrays", str(arrays), "--cell", cell]
    environment = os.environ | {"KERAS_BACKEND": BACKENDS[peer]}
    printed = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, float] = json.loads(printed.splitlines()[-1])
    return result


def table(cell: CellName, results: dict[str, list[dict[str, float]]], floor: float) -> Table:
    """Medians over the rounds; the multiple of rnnjax's time is the median of the ratios within a round."""
    shown = Table(title=f"{cell}, one epoch; floor {floor:.0f} s", title_justify="left")
    for title in ("", "compiling", "epoch", "times ours", "test accuracy"):
        shown.add_column(title, justify="right" if title else "left")
    for name, rounds in results.items():
        compiling, epoch, accuracy = (
            np.array([result[key] for result in rounds]) for key in ("compile_seconds", "seconds", "test_accuracy")
        )
        ours = np.array([result["seconds"] for result in results[OURS]])
        shown.add_row(
            name, f"{np.median(compiling):.0f} s", f"{np.median(epoch):.0f} s", f"{np.median(epoch / ours):.2f}",
            f"{100 * np.median(accuracy):.1f}%",
        )  # fmt: skip
    return shown


if __name__ == "__main__":
    main()
