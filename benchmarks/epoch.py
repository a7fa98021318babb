"""``python -m benchmarks.epoch``: one epoch of the tutorial's models on the real reviews, rnnjax beside Keras.

All get the same words of the same reviews, and 32 of them at a time. Keras gets them as its tutorials have them: 500
words each, filled up before the first word.
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
ADAM = 7  # times a number per weight is read or written in a step: all of gradient, weight, two moments; the last three


@dataclasses.dataclass(frozen=True)
class Epochs:
    """Train each model for one epoch in a process of its own, in turns, and test it.

    Attributes:
        cells: which.
        peers: beside rnnjax.
        rounds: of which the median is told.
        out: JSON file for all figures; none if not given.
    """

    cells: tuple[CellName, ...] = ALL
    peers: tuple[str, ...] = tuple(BACKENDS)
    rounds: int = 1
    out: str | None = None


def main() -> None:
    """Measure, and print a table for each cell as it is done."""
    flags, console = tyro.cli(Epochs), Console()
    console.print(f"{machine()}; {', '.join(f'{name} {told}' for name, told in versions().items())}")
    try:
        data = imdb(
            data_dir=None, vocabulary_size=VOCABULARY, max_length=WORDS, keep="last", validation_fraction=0.1, seed=0
        )
    except UserError as error:
        sys.exit(f"error: {error}")
    rates, measured = (multiply_adds_a_second(), bytes_a_second()), {}
    with tempfile.TemporaryDirectory() as place:
        arrays = Path(place) / "reviews.npz"
        np.savez(
            arrays, x_train=before(data.train), y_train=data.train.labels,
            x_test=before(data.test), y_test=data.test.labels,
        )  # fmt: skip
        for cell in flags.cells:
            told: dict[str, list[dict[str, float]]] = {name: [] for name in (OURS, *flags.peers)}
            for turn in range(flags.rounds):
                for name in told:
                    console.print(f"{cell}, round {turn + 1} of {flags.rounds}: {name}")
                    told[name].append(_ours(cell, Path(place)) if name == OURS else _keras(name, cell, arrays))
            floor = least_seconds(cell, data.train, data.validation, *rates)
            console.print(table(cell, told, floor))
            measured[cell] = {"floor": floor, "rounds": told}
    if flags.out is not None:
        about = {
            "machine": machine(),
            "versions": versions(),
            "multiply_adds_a_second": rates[0],
            "bytes_a_second": rates[1],
        }
        Path(flags.out).write_text(json.dumps({**about, "measured": measured}, indent=1))


def least_seconds(
    cell: CellName, train: Examples, validation: Examples, multiply_adds: float, moved_bytes: float
) -> float:
    """What an epoch cannot do without at the machine's speed.

    The products of the words that there are, in training (three for each of the forward pass) and in validation, and
    Adam's traffic over the word vectors, which no cache holds.
    """
    words = 3 * int(train.lengths.sum()) + int(validation.lengths.sum())
    steps = len(train.lengths) / BATCH
    moved = steps * ADAM * VOCABULARY * FEATURES * np.dtype(np.float32).itemsize
    return words * GATES[cell] * 2 * FEATURES**2 / multiply_adds + moved / moved_bytes


def before(examples: Examples) -> np.ndarray:
    """The words (N, T) at the end of their rows, zeros before."""
    length = examples.inputs.shape[1]
    places = (np.arange(length) - (length - examples.lengths[:, None])) % length
    return np.take_along_axis(examples.inputs, places, axis=1)


def _ours(cell: CellName, place: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(dir=place) as folder:
        flags = f"imdb --cells {cell} --epochs 1 --log-gradients-every 0 --compilation-cache off --out {folder}/run"
        subprocess.run([sys.executable, "launch.py", *flags.split()], check=True, stdout=subprocess.DEVNULL)
        (path,) = Path(folder).glob("run/members/*/result.json")
        result: dict[str, Any] = json.loads(path.read_text())
    return {name: result[name] for name in ("compile_seconds", "seconds", "test_accuracy")}


def _keras(peer: str, cell: CellName, arrays: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.keras_epoch", "--arrays", str(arrays), "--cell", cell]
    environment = os.environ | {"KERAS_BACKEND": BACKENDS[peer]}
    printed = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout
    told: dict[str, float] = json.loads(printed.splitlines()[-1])
    return told


def table(cell: CellName, told: dict[str, list[dict[str, float]]], floor: float) -> Table:
    """Medians over the rounds, and how many times as long as rnnjax: the median of the ratios of each round."""
    shown = Table(title=f"{cell}, one epoch; floor {floor:.0f} s", title_justify="left")
    for title in ("", "compiling", "epoch", "times ours", "test accuracy"):
        shown.add_column(title, justify="right" if title else "left")
    for name, rounds in told.items():
        compiling, epoch, accuracy = (
            np.array([one[key] for one in rounds]) for key in ("compile_seconds", "seconds", "test_accuracy")
        )
        ours = np.array([one["seconds"] for one in told[OURS]])
        shown.add_row(
            name, f"{np.median(compiling):.0f} s", f"{np.median(epoch):.0f} s", f"{np.median(epoch / ours):.2f}",
            f"{100 * np.median(accuracy):.1f}%",
        )  # fmt: skip
    return shown


if __name__ == "__main__":
    main()
