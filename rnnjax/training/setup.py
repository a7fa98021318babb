"""A group made ready for training: compiled, its data and numbers on the devices."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from rnnjax.sharding.layout import Layout
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.training.compile import Programs, build_programs
from rnnjax.training.diagnose_run import diagnosis_batch
from rnnjax.training.ensemble import Ensemble
from rnnjax.training.schedule import total_steps
from rnnjax.training.step.multi_step import ProgramKind, example_arrays, example_shapes
from rnnjax.training.step.optimizer import make_optimizer
from rnnjax.training.step.train_step import TracedHParams, TrainState, traced_hparams

EVAL_BATCH_FACTOR = 4  # evaluation needs no backward pass, so its batches are this much larger
EVAL_CHUNK = 4  # batches, as a rule


class EnsembleSetup(NamedTuple):
    """All that stays as it is while a group trains."""

    group: Ensemble
    layout: Layout
    programs: Programs
    examples: Any  # put into place
    knobs: TracedHParams  # put into place
    keys: np.ndarray  # (M, 2) uint32, the bits of each member's key
    fresh: TrainState  # of M members before their first step, numpy
    steps: int  # of the whole run
    batch: int  # examples in a batch, with those that only fill the devices
    eval_batch: int  # likewise, of evaluation
    eval_chunk: int  # batches that are evaluated in one call
    compile_seconds: float


def set_up_ensemble(group: Ensemble, layout: Layout) -> EnsembleSetup:
    """Compile what a group runs, put its data into place, and draw the initial parameters of each seed."""
    settings, dataset = group.settings, group.datasets[0]
    steps = total_steps(dataset.train.lengths, settings, group.edges, carried=dataset.carried)
    batch = layout.batch_size(settings.batch_size)
    eval_examples, eval_chunk = EVAL_BATCH_FACTOR * settings.batch_size, EVAL_CHUNK
    eval_batch = layout.batch_size(eval_examples)
    if dataset.carried:  # all of a split in one chunk, through which the state is carried
        eval_chunk = -(-max(len(split.lengths) for split in (dataset.validation, dataset.test)) // eval_examples)
    with ThreadPoolExecutor() as pool:
        placed = pool.submit(_place_examples, group, layout)
        began = time.perf_counter()
        programs = build_programs(
            {trial.cell: trial.make_model(dataset.sizes, trial.cell) for trial in group.trials},
            make_optimizer(settings, steps),
            settings,
            layout,
            example_shapes(dataset),
            ProgramKind(dataset.objective, steps // settings.epochs if dataset.carried else None),
            lengths=group.edges,
            share_examples=group.share_data,
            train_shape=(settings.steps_per_program, batch),
            eval_shape=(eval_chunk, eval_batch),
            examined=diagnosis_batch(dataset),
        )
        compile_seconds = time.perf_counter() - began
        examples = placed.result()
    split = jax.jit(lambda key: tuple(jax.random.split(key)))  # one small program instead of three
    keys = [split(jax.random.key(trial.seed)) for trial in group.trials]
    knobs = stack_trees(
        [traced_hparams(trial.settings, own) for trial, (_, own) in zip(group.trials, keys, strict=True)]
    )
    fresh = stack_trees([programs.init[trial.cell](key) for trial, (key, _) in zip(group.trials, keys, strict=True)])
    return EnsembleSetup(
        group, layout, programs, examples, layout.put(ShardingRole.MEMBER, knobs), knobs.key, fresh, steps, batch,
        eval_batch, eval_chunk, compile_seconds,
    )  # fmt: skip


def _place_examples(group: Ensemble, layout: Layout) -> Any:
    if group.share_data:
        return layout.put(ShardingRole.SHARED, example_arrays(group.datasets[0]))
    return layout.put(ShardingRole.MEMBER, stack_trees([example_arrays(dataset) for dataset in group.datasets]))


def stack_trees(trees: Sequence[Any]) -> Any:
    """Trees of equal structure as one, with a leading axis for the members, numpy."""
    return jax.tree.map(lambda *a: np.stack(a), *trees)


def select_member(tree: Any, i: int) -> Any:
    """Member i of such a tree."""
    return jax.tree.map(lambda a: a[i], tree)
