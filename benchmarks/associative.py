"""``python -m benchmarks.associative``: linear cells evaluated step by step and in parallel over time."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

import rnnjax
from benchmarks.machine import machine
from rnnjax.config.execution import Execution
from rnnjax.runtime.malloc import configure_malloc
from rnnjax.sharding.devices import configure_devices

CELLS: dict[str, Callable[[int, int], rnnjax.Cell]] = {  # of the number of units and the length T
    "mingru": lambda features, steps: rnnjax.MinGRU(features, chrono=steps),
    "minlstm": lambda features, steps: rnnjax.MinLSTM(features, chrono=steps),
    "lru": lambda features, steps: rnnjax.LRU(features, r_min=0.9),
}
WAYS: dict[str, dict[str, Any]] = {
    "scan": {},
    "associative": {"backend": "associative"},
    "associative, autodiff": {"backend": "associative", "backward": "autodiff"},
}


@dataclasses.dataclass(frozen=True)
class Associative:
    """Time the last state, and its gradient with respect to the parameters, by the scan and by the associative scan.

    The ways take turns within a round. Memory is what the compiled program allocates besides its arguments.

    Attributes:
        cells: cells to time.
        steps: lengths T.
        batch: number of sequences.
        features: number of units and of input features.
        rounds: rounds, of which the median is shown.
    """

    cells: tuple[Literal["mingru", "minlstm", "lru"], ...] = ("mingru", "minlstm", "lru")
    steps: tuple[int, ...] = (1000, 10_000)
    batch: int = 1
    features: int = 64
    rounds: int = 15


def main() -> None:
    """Measure, and print a table."""
    flags, console = tyro.cli(Associative), Console()
    configure_devices(Execution())
    names = ("forward", "memory", "with gradient", "memory")
    table = Table("cell", "T", "way", *names, title=machine(), title_justify="left")
    for cell in flags.cells:
        for steps in flags.steps:
            programs = [
                _program(flags, cell, steps, options, gradient) for options in WAYS.values() for gradient in (0, 1)
            ]
            configure_malloc()
            seconds = np.zeros((flags.rounds + 1, len(programs)))
            for turn in track(range(flags.rounds + 1), f"{cell} {steps}", console=console, transient=True):
                for i, (run, _) in enumerate(programs):
                    began = time.perf_counter()
                    jax.block_until_ready(run())
                    seconds[turn, i] = time.perf_counter() - began
            medians = np.median(seconds[1:], axis=0)  # without the round in which it warmed up
            for row, way in enumerate(WAYS):
                shown = []
                for i in (2 * row, 2 * row + 1):
                    shown += [f"{1e3 * medians[i]:.2f} ms", f"{programs[i][1] / 2**20:.1f} MiB"]
                table.add_row(cell, f"{steps:,}", way, *shown)
    console.print(table)


def _program(flags: Associative, name: str, steps: int, options: dict[str, Any], gradient: int) -> tuple[Any, int]:
    """A function that computes the last state, or its gradient, and the bytes of its temporaries."""
    cell = CELLS[name](flags.features, steps)
    params = cell.init(jax.random.key(0), flags.features)
    xs = jax.random.normal(jax.random.key(1), (steps, flags.batch, flags.features))

    def loss(params: Any, xs: jax.Array) -> Any:
        final, _ = rnnjax.unroll(cell, params, xs, **options)
        return sum(jnp.sum(jnp.abs(a) ** 2) for a in jax.tree.leaves(final))

    compiled = jax.jit(jax.grad(loss) if gradient else loss).lower(params, xs).compile()
    memory: Any = compiled.memory_analysis()
    return lambda: compiled(params, xs), int(memory.temp_size_in_bytes)


if __name__ == "__main__":
    main()
