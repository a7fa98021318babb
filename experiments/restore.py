"""Restores the experiment, models and trained parameters of a run folder, and encodes texts as that run does."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import numpy as np

from experiments.base import Experiment, WordExperiment
from experiments.registry import check_readable, experiment_from_config, experiment_to_config
from experiments.study import run_specs
from experiments.tasks.characters import Characters
from experiments.tasks.imdb import Imdb
from experiments.tasks.recall import Recall
from experiments.tasks.text import Text
from experiments.tasks.trainability import Trainability
from rnnjax.cells.registry import parse_spec
from rnnjax.cells.specs.own_cells import trained_cell
from rnnjax.data.dataset import SPECIAL_WORDS, Dataset, Objective, Sizes
from rnnjax.data.vocabulary import encode, split_words
from rnnjax.errors import UserError
from rnnjax.nn.saved_params import read_params
from rnnjax.runs.reader import read_config, read_objective, read_task, read_vocabulary
from rnnjax.runs.schema import PARAMS, VOCABULARY, Config, member_folder
from rnnjax.training.run_spec import RunSpec
from rnnjax.typing import ModelParams

# flags on which the encoding of a text depends
TEXT_FLAGS = ("vocabulary", "max_length", "keep", "validation", "test_share")


class RestoredMember(NamedTuple):
    """The trained model of one cell at one combination of swept flags."""

    label: str
    seed: int
    model: nn.Module
    params: ModelParams  # those with the best validation score
    dataset: Callable[[], Dataset]  # makes the data set that it was trained on


class RestoredRun(NamedTuple):
    """The trained models of a run, and what is needed to encode a text for them."""

    tasks: tuple[Experiment, ...]  # the distinct flags of its cells; all encode a text in the same way
    vocabulary: tuple[str, ...]  # id -> word
    sides: tuple[str, str]  # names of the two classes, that of label 0 first
    members: tuple[RestoredMember, ...]  # for each label the first validated seed, in the order of the study
    objective: Objective = Objective.BINARY
    classes: tuple[str, ...] = ()  # names of the labels

    @property
    def answers(self) -> tuple[str, ...]:
        """Names of the model's outputs, where there are several."""
        return self.vocabulary if self.objective is Objective.SYMBOLS else self.classes


class EncodedText(NamedTuple):
    """A text as word ids of a run's vocabulary."""

    words: tuple[str, ...]  # T words
    tokens: np.ndarray  # (T,) int32 word ids, 1 = unknown
    note: str  # a warning if the text was cut or is longer than the training examples; usually empty


def reads_text(experiment: Experiment) -> bool:
    """Whether the inputs are words or characters of a text."""
    return isinstance(experiment, WordExperiment | Characters | Trainability)


def restore_run(path: Path) -> RestoredRun:
    """Restore the first validated seed of each cell at each combination of swept flags; the run may be unfinished.

    Raises:
        UserError: ``path`` is not a run folder, is too old, has no validated cell yet, holds cells that encode a text
            differently, or a file in it is damaged.
    """
    config = read_config(path)
    task_info, objective = read_task(path), read_objective(path)
    experiment = experiment_from_config(config)
    check_own_cells(experiment, path, config)
    study = run_specs(experiment, progress=lambda line: None)
    tasks = tuple(dict.fromkeys(spec.task for spec in study if isinstance(spec.task, Experiment)))
    for name in TEXT_FLAGS:
        if len({getattr(task, name, None) for task in tasks}) > 1:
            raise UserError(
                f"The cells of the run '{path}' differ in {name}, so they encode a text differently; name a run "
                f"with one {name}."
            )
    validated: dict[str, tuple[RunSpec, Path]] = {}
    for spec in study:
        if (file := member_folder(path, spec.name) / PARAMS).exists():
            validated.setdefault(spec.label, (spec, file))
    if not validated:
        raise UserError(f"The run '{path}' has not validated any cell yet; wait until it has, or name another run.")
    if not reads_text(experiment):  # whose inputs are scaled as the file of the training asks
        check_contents(experiment, path, config)
    vocabulary = _vocabulary(path) if reads_text(experiment) else read_vocabulary(path) or ()
    outputs = {Objective.CLASSES: len(task_info.classes), Objective.SYMBOLS: len(vocabulary)}
    members = []
    for spec, file in validated.values():
        sizes = Sizes(len(vocabulary), 0, outputs.get(objective, 1))
        if not reads_text(experiment):
            sizes = spec.make_dataset().sizes
        model = spec.make_model(sizes, spec.cell)
        members.append(
            RestoredMember(spec.label, spec.seed, model, read_params(model, file, sizes.features), spec.make_dataset)
        )
    return RestoredRun(tasks, vocabulary, task_info.sides, tuple(members), objective, task_info.classes)


def check_own_cells(experiment: Experiment, path: Path, config: Config) -> None:
    """Raise UserError where the run's cells are in files of the user's own that must not be executed for it."""
    for spec in map(parse_spec, experiment.cells):
        if spec.is_own:
            trained_cell(spec.name, path, config.contents)


def check_contents(experiment: Experiment, path: Path, config: Config) -> None:
    """Raise UserError where a file that a flag of the run names cannot be read or has changed since the training."""
    now = experiment_to_config(experiment)
    check_readable(config, now)
    if changed := [name for name, digest in config.contents.items() if now.contents.get(name) != digest]:
        raise changed_data(path, f"the content of {changed[0]}")


def changed_data(path: Path, what: str) -> UserError:
    """The error of a run whose data is not that of the training."""
    return UserError(f"The data of the run '{path}' has changed ({what}); restore it or run again.")


def encode_text(run: RestoredRun, text: str) -> EncodedText:
    """Split ``text`` into words and encode them as the run's own examples were.

    Raises:
        UserError: the text has no word, or none of the run's vocabulary.
    """
    words = split_words(text)
    count, source, note = len(words), "--text", ""
    task = run.tasks[0]
    if isinstance(task, Imdb | Text) and count > (limit := task.max_length):
        keep = task.keep
        words = words[-limit:] if keep == "last" else words[:limit]
        source = f"the {keep} {limit} words of --text"
        note = f"; this run reads the {keep} {limit} of a {task.example}."
    if isinstance(task, Recall) and count > (limits := sorted({task.longest for task in run.tasks}))[0]:
        note = f"; this run was trained on reviews of at most {' or '.join(map(str, limits))}."
    if not set(run.vocabulary).intersection(words):
        problem = f"The run's vocabulary has no word of {source}" if words else "There is no word in --text"
        examples = ", ".join(run.vocabulary[len(SPECIAL_WORDS) :][:3])
        raise UserError(f"{problem}; give a text with words such as {examples}.")
    tokens, _ = encode([" ".join(words)], run.vocabulary, max_length=len(words), keep="last")
    return EncodedText(tuple(words), tokens[0], note and f"The text has {count} words{note}")


def _vocabulary(path: Path) -> tuple[str, ...]:
    words = read_vocabulary(path)
    if words is None:
        raise UserError(
            f"'{path / VOCABULARY}' does not exist: the run is older than this file, in which its words stand; run "
            "again."
        )
    return words
