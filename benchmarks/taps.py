"""``python -m benchmarks.taps``: a step of training with and without the gradient of every timestep.

The step is the whole of it: word vectors, layer, loss, backward pass, clipping, Adam.
"""

import dataclasses
import time

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

import rnnjax
from benchmarks.cases import CellName
from benchmarks.machine import machine
from benchmarks.peers import ALL
from benchmarks.peers.ours import CELLS
from rnnjax.training.bundles import init_state
from rnnjax.training.optimizer import make_optimizer
from rnnjax.training.settings import TrainingSettings
from rnnjax.training.steps import Batch, make_knobs, make_train_step


@dataclasses.dataclass(frozen=True)
class Taps:
    """Time a step of training with the log of gradients on and off, in turns.

    Attributes:
        cells: which.
        batch: reviews.
        steps: words of each; the lengths are drawn from a quarter of it upwards.
        features: units, and numbers in a word vector.
        vocabulary: words.
        rounds: of which the median is told.
    """

    cells: tuple[CellName, ...] = ALL
    batch: int = 32
    steps: int = 200
    features: int = 128
    vocabulary: int = 20000
    rounds: int = 31


def main() -> None:
    """Measure, and print a table."""
    flags, console = tyro.cli(Taps), Console()
    table = Table("cell", "log off", "log on", "ratio", title=machine(), title_justify="left")
    for cell in flags.cells:
        off, on = _seconds(flags, cell, console)
        medians = (f"{1e3 * np.median(seconds):.1f} ms" for seconds in (off, on))
        table.add_row(cell, *medians, f"{np.median(on / off):.3f}")
    console.print(table)


def _seconds(flags: Taps, cell: CellName, console: Console) -> tuple[np.ndarray, np.ndarray]:
    rng, shape = np.random.default_rng(0), (flags.batch, flags.steps)
    lengths = rng.integers(flags.steps // 4, flags.steps, size=flags.batch, endpoint=True)
    inputs = rng.integers(2, flags.vocabulary, size=shape).astype(np.int32)
    batch = Batch(inputs, lengths, rng.integers(2, size=flags.batch), np.ones(flags.batch, np.float32))
    model = rnnjax.SequenceClassifier(flags.vocabulary, flags.features, rnnjax.RNN(CELLS[cell](flags.features)))
    settings = TrainingSettings()
    optimizer, knobs = make_optimizer(settings, 1000), make_knobs(settings, jax.random.key(1))
    steps = [
        jax.jit(make_train_step(model, optimizer, settings, log_gradients=log), donate_argnums=1)
        for log in (False, True)
    ]
    states = [init_state(model, optimizer, inputs[:1, :1], None, jax.random.key(0)) for _ in steps]
    seconds = np.zeros((len(steps), flags.rounds + 2))
    for turn in track(range(flags.rounds + 2), cell, console=console, transient=True):
        for i in (0, 1) if turn % 2 else (1, 0):
            began = time.perf_counter()
            states[i], *_ = jax.block_until_ready(steps[i](knobs, states[i], batch))
            seconds[i, turn] = time.perf_counter() - began
    return seconds[0, 2:], seconds[1, 2:]  # without the rounds in which it compiled and warmed up


if __name__ == "__main__":
    main()
