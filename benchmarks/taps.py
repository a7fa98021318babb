"""``python -m benchmarks.taps``: a training step with and without the gradient norm of every timestep.

The step is complete and compiled for all cores as in training: word vectors, layer, loss, backward pass, clipping,
Adam; freed memory is kept as there. With ``--every 50``, calls of fifty steps with one logged step are compared with
calls of fifty plain steps.
"""

import dataclasses
import time
from functools import partial
from typing import Any

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
from rnnjax.config.execution import Execution
from rnnjax.config.training import TrainingSettings
from rnnjax.runtime.malloc import configure_malloc
from rnnjax.sharding.devices import choose_layout, configure_devices
from rnnjax.sharding.program_spec import ProgramSpec, ShardingRole
from rnnjax.training.step.multi_step import ExampleArrays, init_state, train_chunk
from rnnjax.training.step.optimizer import make_optimizer
from rnnjax.training.step.state import STATE_ROLES, traced_hparams
from rnnjax.training.step.train_step import make_train_step


@dataclasses.dataclass(frozen=True)
class Taps:
    """Time a step of training with the log of gradients on and off, in turns.

    The median ratio is shown with the half-width of its 95% interval (McGill, Tukey & Larsen 1978).

    Attributes:
        cells: cells to time.
        batch: reviews in a batch.
        steps: longest review in words; lengths are drawn from a quarter of it upwards.
        features: number of units, and size of a word vector.
        vocabulary: number of words.
        every: steps in a call, of which one is logged.
        rounds: rounds, of which the median is shown.
    """

    cells: tuple[CellName, ...] = ALL
    batch: int = 32
    steps: int = 200
    features: int = 128
    vocabulary: int = 20000
    every: int = 1
    rounds: int = 31


def main() -> None:
    """Measure, and print a table."""
    flags, console = tyro.cli(Taps), Console()
    configure_devices(Execution())
    table = Table("cell", "log off", "log on", "ratio", title=machine(), title_justify="left")
    for cell in flags.cells:
        off, on = _seconds(flags, cell, console)
        medians = (f"{1e3 * np.median(seconds):.1f} ms" for seconds in (off, on))
        quarter, ratio, three_quarters = np.quantile(on / off, (0.25, 0.5, 0.75))
        notch = 1.57 * (three_quarters - quarter) / np.sqrt(flags.rounds)
        table.add_row(cell, *medians, f"{ratio:.3f} ± {notch:.3f}")
    console.print(table)


def _seconds(flags: Taps, cell: CellName, console: Console) -> tuple[np.ndarray, np.ndarray]:
    rng, reviews = np.random.default_rng(0), flags.every * flags.batch
    lengths = rng.integers(flags.steps // 4, flags.steps, size=reviews, endpoint=True)
    words = rng.integers(2, flags.vocabulary, size=(reviews, flags.steps)).astype(np.int32)
    examples = ExampleArrays(words, lengths.astype(np.int32), rng.integers(2, size=reviews).astype(np.int32))
    model = rnnjax.SequenceClassifier(flags.vocabulary, flags.features, rnnjax.RNN(CELLS[cell](flags.features)))
    settings = TrainingSettings()
    optimizer, hparams = make_optimizer(settings, 1000), traced_hparams(settings, jax.random.key(1))
    state = init_state(model, optimizer, words[:1, :1], None, jax.random.key(0))
    layout = choose_layout(Execution(), 1, flags.batch)
    indices = np.arange(reviews, dtype=np.int32).reshape(flags.every, flags.batch)
    chunk = indices, np.ones(indices.shape, np.float32)
    roles, arguments = (
        (ShardingRole.MEMBER, ShardingRole.SHARED, STATE_ROLES, ShardingRole.BATCH, ShardingRole.BATCH),
        (hparams, examples, state, *chunk),
    )
    steps = {
        log: make_train_step(model, optimizer, settings, log_gradients=log, shard=layout.batch_shard(state.params))
        for log in (False, True)
    }
    logged = {False: -1, True: flags.every // 2}  # which step of a call
    numbers = {log: (np.int32(0), np.int32(flags.every), np.int32(logged[log])) for log in steps}
    all_roles = (*roles, ShardingRole.SHARED, ShardingRole.SHARED, ShardingRole.SHARED)
    programs, states = {}, {}
    for log in steps:
        chunk_of_steps = partial(train_chunk, steps[False], steps[True] if log else None)
        task = ProgramSpec(chunk_of_steps, all_roles, (*arguments, *numbers[log]), (2, None, None), donate_argnums=(2,))
        programs[log], states[log] = layout.lower(task)(), layout.put(STATE_ROLES, _of_one_member(state))
    placed = [
        layout.put(role, a if role is ShardingRole.SHARED else _of_one_member(a))
        for role, a in zip(roles, arguments, strict=True)
    ]
    configure_malloc()
    seconds = np.zeros((2, flags.rounds + 1))
    for turn in track(range(flags.rounds + 1), cell, console=console, transient=True):
        for log in (False, True) if turn % 2 else (True, False):
            began = time.perf_counter()
            placed[2] = states[log]
            states[log], *_ = jax.block_until_ready(programs[log](*placed, *numbers[log]))
            seconds[int(log), turn] = time.perf_counter() - began
    return seconds[0, 1:], seconds[1, 1:]  # without the round in which it warmed up


def _of_one_member(tree: Any) -> Any:
    return jax.tree.map(lambda a: np.asarray(a)[None], tree)


if __name__ == "__main__":
    main()
