"""``python -m benchmarks.length``: time and memory of one layer against the length of its sequence."""

import dataclasses
import math
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

import rnnjax
from benchmarks.machine import machine


@dataclasses.dataclass(frozen=True)
class Lengths:
    """Time the gradient of an LSTM's last output, keeping every state for the backward pass or every k-th.

    k is the largest divisor of T up to √T; another would take a padded copy of the inputs.

    Attributes:
        steps: lengths T.
        batch: sequences.
        features: units, and numbers of a step.
        rounds: of which the median is told.
    """

    steps: tuple[int, ...] = (1000, 3000, 10_000, 30_000, 100_000)
    batch: int = 1
    features: int = 64
    rounds: int = 7


def main() -> None:
    """Measure, and print a table; memory is what the compiled program asks for beside its arguments."""
    flags, console = tyro.cli(Lengths), Console()
    table = Table(
        "T", "time a step", "memory", "k", "every k-th: time a step", "memory", title=machine(), title_justify="left"
    )
    for steps in flags.steps:
        programs = [_program(flags, steps, every) for every in (None, _near_root(steps))]
        seconds = np.zeros((2, flags.rounds + 1))
        for turn in track(range(flags.rounds + 1), f"T={steps}", console=console, transient=True):
            for i, (run, _) in enumerate(programs):
                began = time.perf_counter()
                jax.block_until_ready(run())
                seconds[i, turn] = time.perf_counter() - began
        median = np.median(seconds[:, 1:], axis=1) / steps
        fields = [
            field
            for i, (_, memory) in enumerate(programs)
            for field in (f"{1e6 * median[i]:.2f} µs", f"{memory / 2**20:.1f} MiB")
        ]
        table.add_row(f"{steps:,}", *fields[:2], str(_near_root(steps)), *fields[2:])
    console.print(table)


def _near_root(steps: int) -> int:
    return max(k for k in range(1, math.isqrt(steps) + 1) if steps % k == 0)


def _program(flags: Lengths, steps: int, store_every: int | None) -> tuple[Any, int]:
    """A call that computes the gradient, and the bytes that it needs for what lies between."""
    cell = rnnjax.LSTM(flags.features)
    params = cell.init(jax.random.key(0), flags.features)
    xs = jax.random.normal(jax.random.key(1), (steps, flags.batch, flags.features))

    def loss(params: Any, xs: jax.Array) -> jax.Array:
        final, _ = rnnjax.unroll(cell, params, xs, store_every=store_every)
        return jnp.sum(final.h**2)

    compiled = jax.jit(jax.grad(loss)).lower(params, xs).compile()
    memory: Any = compiled.memory_analysis()
    return lambda: compiled(params, xs), int(memory.temp_size_in_bytes)


if __name__ == "__main__":
    main()
