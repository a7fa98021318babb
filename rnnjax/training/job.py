"""A job: the same task for several cells and seeds, one after the other, into one run folder."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from rnnjax.blas import one_blas_thread
from rnnjax.cells import Cell
from rnnjax.cells.spec import cell_from_spec, label_of, slug_of
from rnnjax.data.batches import bucket_edges
from rnnjax.data.examples import Dataset
from rnnjax.errors import UserError
from rnnjax.training.evaluation import accuracy_by_distance, eval_shape, evaluate
from rnnjax.training.examination import examination, examine_size, word_records
from rnnjax.training.loop import TrainingDivergedError, train
from rnnjax.training.optimizer import make_optimizer
from rnnjax.training.programs import Programs, build_programs, on_device
from rnnjax.training.progress import ProgressView
from rnnjax.training.records import write_json
from rnnjax.training.schedule import total_steps
from rnnjax.training.settings import TrainingSettings
from rnnjax.training.writers import MemberWriter


def parse_cells(specs: tuple[str, ...], features: int) -> dict[str, Cell]:
    """Label -> cell, for specs such as ``gru:chrono=200``.

    Raises:
        UserError: a spec that is wrong, or that stands twice.
    """
    parsed = [cell_from_spec(spec, features) for spec in specs]
    cells = dict(zip(map(label_of, specs), parsed, strict=True))
    if len({slug_of(label) for label in cells}) < len(specs) or not cells:
        raise UserError(f"--cells wants at least one cell and none twice, but {' '.join(specs) or 'none'} was given.")
    return cells


def run_job(
    folder: Path,
    cells: dict[str, Cell],
    make_model: Callable[[int, Cell], nn.Module],
    settings: TrainingSettings,
    make_dataset: Callable[[int], Dataset],
    view: ProgressView,
) -> None:
    """Train every cell from every seed and write each member's folder.

    Args:
        folder: of the run.
        cells: label -> cell.
        make_model: (vocabulary size, cell) -> model.
        settings: how to train.
        make_dataset: seed -> data; its splits must have the same shapes for every seed.
        view: where progress is shown.

    Raises:
        TrainingDivergedError: after all others have been trained, if any member's loss was not finite.
    """
    seeds = range(settings.seed, settings.seed + settings.seeds)
    diverged = []
    for label, cell in cells.items():
        shared = _Shared(label, cell, make_model, settings, view)
        for seed in seeds:
            try:
                with one_blas_thread():
                    _run_member(folder, shared, make_dataset(seed), seed)
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                raise UserError(
                    f"{label}: the device has too little memory; give a smaller --batch-size, --features or sequence."
                ) from None
            except TrainingDivergedError as error:
                view.line(str(error), style="red")
                diverged.append(str(error))
    if diverged:
        raise TrainingDivergedError(" ".join(diverged))


@dataclasses.dataclass
class _Shared:
    """What the seeds of one cell have in common.

    Programs are compiled at the first seed. With several buckets another seed's data can take a few steps more or
    less; a learning-rate schedule then still ends with the first seed's.
    """

    label: str
    cell: Cell
    make_model: Callable[[int, Cell], nn.Module]
    settings: TrainingSettings
    view: ProgressView
    programs: Programs | None = None
    edges: tuple[int, ...] = ()
    compile_seconds: float = 0.0

    def compile_for(self, dataset: Dataset, examples: Any) -> Programs:
        """The programs, which any data set of the same shapes can use."""
        if self.programs is None:
            self.view.start(f"{self.label}: compiling", total=1)
            began = time.perf_counter()
            lengths = np.asarray(examples.lengths)
            self.edges = bucket_edges(lengths, self.settings.buckets)
            steps = total_steps(dataset.train.lengths, self.settings, self.edges)
            self.programs = build_programs(
                self.make_model(len(dataset.vocabulary), self.cell),
                make_optimizer(self.settings, steps),
                examples,
                lengths=self.edges,
                train_shape=(self.settings.steps_per_program, self.settings.batch_size),
                eval_shape=eval_shape(self.settings),
                examine_size=examine_size(dataset),
                log_gradients=self.settings.log_gradients_every > 0,
                omega=self.settings.omega,
                flossing=self.settings.flossing,
            )
            self.compile_seconds = time.perf_counter() - began
        return self.programs


def _run_member(run_folder: Path, shared: _Shared, dataset: Dataset, seed: int) -> None:
    label, settings, view = shared.label, shared.settings, shared.view
    examples = on_device(dataset)
    programs = shared.compile_for(dataset, examples)
    steps = total_steps(dataset.train.lengths, settings, shared.edges)
    parameters = sum(a.size for a in jax.tree.leaves(programs.init(jax.random.key(seed)).params))
    folder = run_folder / "members" / f"{slug_of(label)}-seed{seed}"
    folder.mkdir()
    cell_name = type(shared.cell).__name__.lower()
    member = {"label": label, "cell": cell_name, "seed": seed, "parameters": parameters, "steps": steps}
    write_json(folder / "member.json", member)
    if not (run_folder / "vocabulary.json").exists():
        write_json(run_folder / "vocabulary.json", list(dataset.vocabulary))

    view.start(f"{label}, seed {seed}", total=steps)
    with MemberWriter(folder, tensorboard=settings.tensorboard) as writer:
        trained = train(
            programs, dataset, examples, settings,
            edges=shared.edges, seed=seed, label=label, folder=folder, writer=writer, progress=view.update,
        )  # fmt: skip
    view.start(f"{label}, seed {seed}: diagnosis", total=1)
    found = examination(programs, dataset, examples, trained.params, trained.best_step)
    model = shared.make_model(len(dataset.vocabulary), shared.cell)
    write_json(folder / "diagnosis-end.json", found | word_records(model, dataset, trained.params))
    test = evaluate(programs, dataset, examples, "test", trained.params, settings, shared.edges)
    distances = dataset.test.distances
    write_json(
        folder / "result.json",
        {
            "test_loss": test.loss,
            "test_accuracy": test.accuracy,
            "best_step": trained.best_step,
            "validation_accuracy": trained.validation_accuracy,
            "seconds": trained.train_seconds,
            "steps_per_second": steps / trained.train_seconds,
            "compile_seconds": shared.compile_seconds,
            "accuracy_by_distance": None if distances is None else accuracy_by_distance(test.correct, distances),
        },
    )
    view.line(
        f"{label:<16} seed {seed}   {steps} steps in {trained.train_seconds:.0f} s "
        f"({steps / trained.train_seconds:.1f} steps/s)   validation {trained.validation_accuracy:.3f}   "
        f"test {test.accuracy:.3f}"
    )
