"""``python -m benchmarks.observe``: a training step of a Flax LSTM classifier, with and without ``rnnjax.observe``.

The logged step returns the norm of ∂L/∂carry_t of every example and timestep as well. With ``--every 50``, fifty steps
of which one is logged are compared with fifty plain ones.
"""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

import rnnjax
from benchmarks.machine import machine


@dataclasses.dataclass(frozen=True)
class Observe:
    """Time a step of training with the log of gradients on and off, in turns.

    The median ratio is shown with the half-width of its 95% interval (McGill, Tukey & Larsen 1978).

    Attributes:
        batch: reviews in a batch.
        steps: words of a review.
        features: number of units, and size of a word vector.
        vocabulary: number of words.
        every: steps in a round, of which one is logged.
        rounds: rounds, of which the median is shown.
    """

    batch: int = 32
    steps: int = 200
    features: int = 128
    vocabulary: int = 20000
    every: int = 1
    rounds: int = 31


class Classifier(nn.Module):
    """Word vectors, an LSTM of Flax, and one number from its last output."""

    vocabulary: int
    features: int

    @nn.compact
    def __call__(self, words: jax.Array) -> jax.Array:
        """Logits (B,) of words (B, T)."""
        vectors = nn.Embed(self.vocabulary, self.features)(words)
        ys: jax.Array = nn.RNN(nn.OptimizedLSTMCell(self.features))(vectors)
        return nn.Dense(1)(ys[:, -1])[:, 0]


def main() -> None:
    """Measure, and print a table."""
    flags, console = tyro.cli(Observe), Console()
    off, on = _seconds(flags, console)
    table = Table("log off", "log on", "ratio", title=machine(), title_justify="left")
    quarter, ratio, three_quarters = np.quantile(on / off, (0.25, 0.5, 0.75))
    notch = 1.57 * (three_quarters - quarter) / np.sqrt(flags.rounds)
    medians = (f"{1e3 * np.median(seconds) / flags.every:.1f} ms" for seconds in (off, on))
    table.add_row(*medians, f"{ratio:.3f} ± {notch:.3f}")
    console.print(table)


def _seconds(flags: Observe, console: Console) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    words = rng.integers(flags.vocabulary, size=(flags.batch, flags.steps)).astype(np.int32)
    labels = rng.integers(2, size=flags.batch).astype(np.float32)
    model, optimizer = Classifier(flags.vocabulary, flags.features), optax.adam(1e-3)
    params = jax.jit(model.init)(jax.random.key(0), words)

    def loss(params: Any, words: jax.Array, labels: jax.Array) -> jax.Array:
        return optax.sigmoid_binary_cross_entropy(model.apply(params, words), labels).mean()

    @partial(jax.jit, static_argnums=0, donate_argnums=(1, 2))
    def step(log: bool, params: Any, state: Any, words: jax.Array, labels: jax.Array) -> Any:
        norms = None
        if log:
            tapped, taps, _ = rnnjax.observe(loss)(params, words, labels)
            of_states, gradient = jax.grad(tapped, argnums=(0, 1))(taps, params, words, labels)
            norms = jax.tree.map(lambda a: jnp.linalg.norm(a, axis=-1), of_states)
        else:
            gradient = jax.grad(loss)(params, words, labels)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, norms

    trained = {log: _copy((params, jax.jit(optimizer.init)(params))) for log in (False, True)}
    seconds = np.zeros((2, flags.rounds + 1))
    for turn in track(range(flags.rounds + 1), console=console, transient=True):
        for log in (False, True) if turn % 2 else (True, False):
            began = time.perf_counter()
            trained[log] = _round(step, log, flags.every, trained[log], words, labels)
            seconds[int(log), turn] = time.perf_counter() - began
    return seconds[0, 1:], seconds[1, 1:]  # without the round in which it was compiled


def _round(step: Callable[..., Any], log: bool, every: int, trained: Any, *batch: np.ndarray) -> Any:
    for k in range(every):
        *trained, norms = step(log and k == every // 2, *trained, *batch)
    jax.block_until_ready((trained, norms))
    return trained


def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.array, tree)


if __name__ == "__main__":
    main()
