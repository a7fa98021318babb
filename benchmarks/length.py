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
from rnnjax.config.execution import Execution
from rnnjax.runtime.malloc import configure_malloc
from rnnjax.sharding.devices import configure_devices


@dataclasses.dataclass(frozen=True)
class Lengths:
    """Time the gradient of an LSTM's last output, keeping every state for the backward pass or every k-th.

    k is the largest divisor of T up to √T; with another k the inputs would be copied and padded. Lengths take turns
    within a round, each for as many steps as the longest has. A ratio compares the time of a step with that at the
    longest T.

    Attributes:
        steps: lengths T.
        batch: number of sequences.
        features: number of units and of input features.
        rounds: rounds, of which the median is shown.
    """

    steps: tuple[int, ...] = (1000, 3000, 10_000, 30_000, 100_000)
    batch: int = 1
    features: int = 64
    rounds: int = 7


def main() -> None:
    """Measure, and print a table; memory is what the compiled program allocates besides its arguments."""
    flags, console = tyro.cli(Lengths), Console()
    configure_devices(Execution())
    longest = max(flags.steps)
    keys = [(steps, every) for steps in flags.steps for every in (None, _near_root(steps))]
    programs = {key: _program(flags, *key) for key in keys}
    configure_malloc()
    seconds = np.zeros((flags.rounds + 1, len(keys)))  # of one step
    for turn in track(range(flags.rounds + 1), "rounds", console=console, transient=True):
        for i, (steps, every) in enumerate(keys):
            run, calls = programs[steps, every][0], longest // steps
            began = time.perf_counter()
            for _ in range(calls):
                jax.block_until_ready(run())
            seconds[turn, i] = (time.perf_counter() - began) / (calls * steps)
    by_round = seconds[1:].reshape(flags.rounds, len(flags.steps), 2)
    times = np.median(by_round, axis=0)
    ratios = np.median(by_round / by_round[:, [flags.steps.index(longest)]], axis=0)
    names = ("a step", "ratio", "memory")
    table = Table("T", *names, "k", *names, title=machine(), title_justify="left")
    for row, steps in enumerate(flags.steps):
        plain, stored = (
            (f"{1e6 * times[row, i]:.2f} µs", f"{ratios[row, i]:.2f}", f"{programs[steps, every][1] / 2**20:.1f} MiB")
            for i, every in enumerate((None, _near_root(steps)))
        )
        table.add_row(f"{steps:,}", *plain, str(_near_root(steps)), *stored)
    console.print(table)


def _near_root(steps: int) -> int:
    return max(k for k in range(1, math.isqrt(steps) + 1) if steps % k == 0)


def _program(flags: Lengths, steps: int, store_every: int | None) -> tuple[Any, int]:
    """A function that computes the gradient, and the bytes of its temporaries."""
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
