"""An ensemble made ready for training: programs compiled, data and hyperparameters on the devices."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np

from rnnjax.data.dataset import Dataset
from rnnjax.sharding.layout import Layout
from rnnjax.sharding.program_spec import ShardingRole
from rnnjax.training.compile import Programs, ProgramSpecs, build_programs, program_specs
from rnnjax.training.diagnose_run import diagnosis_batch
from rnnjax.training.ensemble import Ensemble
from rnnjax.training.schedule import total_steps
from rnnjax.training.step.multi_step import ExampleArrays, ProgramKind, example_arrays, example_shapes
from rnnjax.training.step.optimizer import make_optimizer
from rnnjax.training.step.state import TracedHParams, TrainState, traced_hparams
from rnnjax.typing import PyTree

EVAL_BATCH_FACTOR = 4  # batches are this much larger in evaluation, which needs no backward pass
EVAL_STEPS_PER_PROGRAM = 32  # in one call, at whose beginning devices exchange the parts of divided parameters


class EnsembleSetup(NamedTuple):
    """All that stays constant while an ensemble of M members trains."""

    ensemble: Ensemble
    layout: Layout
    programs: Programs
    examples: ExampleArrays  # on the devices
    hparams: TracedHParams  # of M members, on the devices
    keys: np.ndarray  # (M, 2) uint32, key data of each member's dropout
    initial_state: TrainState  # of M members before their first step, numpy
    steps: int  # of the whole run
    batch_size: int  # in training, with the padding that divides a batch evenly over the devices
    eval_batch_size: int  # in evaluation, likewise
    eval_steps_per_program: int  # batches that one call evaluates
    compile_seconds: float


def set_up_ensemble(ensemble: Ensemble, layout: Layout) -> EnsembleSetup:
    """Compile the programs of an ensemble while its data are copied to the devices, then draw initial parameters."""
    batch_size = layout.batch_size(ensemble.settings.batch_size)
    eval_steps, eval_batch_size = _eval_shape(ensemble, layout)
    with ThreadPoolExecutor() as pool:
        examples_on_devices = pool.submit(_put_examples, ensemble, layout)
        began = time.perf_counter()
        programs = build_programs(specs_of_ensemble(ensemble, layout), layout)
        compile_seconds = time.perf_counter() - began
        examples = examples_on_devices.result()
    split = jax.jit(lambda key: tuple(jax.random.split(key)))  # one program, where an array of keys would take three
    keys = [split(jax.random.key(spec.seed)) for spec in ensemble.specs]  # of each member (parameters, dropout)
    hparams = stack_trees(
        [traced_hparams(spec.settings, dropout) for spec, (_, dropout) in zip(ensemble.specs, keys, strict=True)]
    )
    initial_state = stack_trees(
        [programs.init[spec.cell](key) for spec, (key, _) in zip(ensemble.specs, keys, strict=True)]
    )
    return EnsembleSetup(
        ensemble=ensemble,
        layout=layout,
        programs=programs,
        examples=examples,
        hparams=layout.put(ShardingRole.MEMBER, hparams),
        keys=hparams.key,
        initial_state=initial_state,
        steps=total_steps(ensemble.datasets[0].train.lengths, ensemble.settings),
        batch_size=batch_size,
        eval_batch_size=eval_batch_size,
        eval_steps_per_program=eval_steps,
        compile_seconds=compile_seconds,
    )


def specs_of_ensemble(ensemble: Ensemble, layout: Layout) -> ProgramSpecs:
    """The programs of an ensemble before they are compiled."""
    settings, dataset = ensemble.settings, ensemble.datasets[0]
    steps = total_steps(dataset.train.lengths, settings)
    return program_specs(
        {spec.cell: spec.make_model(dataset.sizes, spec.cell) for spec in ensemble.specs},
        make_optimizer(settings, steps),
        settings,
        layout,
        example_shapes(dataset, ensemble.longest),
        ProgramKind(
            objective=dataset.objective,
            restart_every=steps // settings.epochs if dataset.carried else None,
            ragged=ensemble.is_ragged,
        ),
        share_examples=ensemble.share_data,
        train_shape=(settings.steps_per_program, layout.batch_size(settings.batch_size)),
        eval_shape=_eval_shape(ensemble, layout),
        diagnosis_batch=diagnosis_batch(dataset),
        episode_words=dataset.episode_words,
        words_once=layout.member_loop == "map" and _words_recur(dataset),
    )


def _words_recur(dataset: Dataset) -> bool:
    """Whether an evaluation reads most words of the vocabulary several times."""
    words = min(int(split.lengths.sum()) for split in (dataset.validation, dataset.test))
    return words >= 2 * len(dataset.vocabulary)


def _eval_shape(ensemble: Ensemble, layout: Layout) -> tuple[int, int]:
    """Batches that one call evaluates, and the examples in each with those that fill it."""
    dataset, examples = ensemble.datasets[0], EVAL_BATCH_FACTOR * ensemble.settings.batch_size
    steps = EVAL_STEPS_PER_PROGRAM
    if dataset.carried:  # one call evaluates a whole split, since the model's state is carried through it
        steps = -(-max(len(split.lengths) for split in (dataset.validation, dataset.test)) // examples)
    return steps, layout.batch_size(examples)


def _put_examples(ensemble: Ensemble, layout: Layout) -> ExampleArrays:
    """The examples on the devices: one copy if the members share a data set, else stacked along a member axis."""
    if ensemble.share_data:
        return layout.put(ShardingRole.SHARED, example_arrays(ensemble.datasets[0], ensemble.longest))
    return layout.put(
        ShardingRole.MEMBER, stack_trees([example_arrays(dataset, ensemble.longest) for dataset in ensemble.datasets])
    )


def stack_trees(trees: Sequence[PyTree]) -> PyTree:
    """Stack the leaves of M trees of equal structure along a new leading member axis; numpy."""
    return jax.tree.map(lambda *a: np.stack(a), *trees)


def select_member(tree: PyTree, i: int) -> PyTree:
    """The tree of member ``i``, out of leaves with a leading member axis."""
    return jax.tree.map(lambda a: a[i], tree)
