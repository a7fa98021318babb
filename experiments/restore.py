"""A run folder turned back into what wrote it: its experiment, and its models with their trained parameters."""

from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import flax.serialization
import jax
import numpy as np

from experiments.base import Experiment, WordExperiment
from experiments.registry import experiment_from_config
from experiments.study import run_specs
from experiments.tasks.imdb import Imdb
from experiments.tasks.recall import Recall
from experiments.tasks.text import Text
from rnnjax.data.dataset import SPECIAL_WORDS, Objective, Sizes
from rnnjax.data.vocabulary import encode, split_words
from rnnjax.errors import UserError
from rnnjax.runs.reader import read_config, read_task, read_vocabulary
from rnnjax.runs.schema import PARAMS, VOCABULARY, member_folder
from rnnjax.training.run_spec import RunSpec

# flags that decide how a text is read
OF_WORDS = (
    "vocabulary", "max_length", "keep", "train", "text_column", "label_column", "validation", "test", "test_share",
)  # fmt: skip


class RestoredMember(NamedTuple):
    """One trained cell, at one combination of what the run sweeps."""

    label: str
    seed: int
    model: nn.Module
    params: Any  # of the best validation


class RestoredRun(NamedTuple):
    """What a run has trained."""

    tasks: tuple[Experiment, ...]  # the different ones of its cells, which read a text alike
    vocabulary: tuple[str, ...]  # id -> word
    sides: tuple[str, str]  # what its answers are called, that of label 0 first
    members: tuple[RestoredMember, ...]  # of each label the first seed that was validated, in the order of the study


class ReadText(NamedTuple):
    """A text as a run reads it."""

    words: tuple[str, ...]  # T words
    tokens: np.ndarray  # (T,) int32 word ids, 1 = unknown
    note: str  # what the run does not do with all of it, or has never done; empty as a rule


def restore_run(path: Path) -> RestoredRun:
    """The first validated seed of each cell, at each combination of what is swept, of a run, finished or not.

    Raises:
        UserError: ``path`` is not a run folder, is too old, has validated nothing yet, holds cells that do not read
            a text alike, or a file in it is damaged.
    """
    config = read_config(path)
    experiment = experiment_from_config(config)
    if not isinstance(experiment, WordExperiment):
        what = config.experiment
        raise UserError(f"The run '{path}' reads no words, it is of {what}; name one of recall, imdb or text.")
    kind = read_task(path)
    if kind.objective is Objective.CLASSES:
        raise UserError(
            f"The run '{path}' tells {len(kind.classes)} classes apart, and words are explained for two only; name "
            "a run of two."
        )
    study = run_specs(experiment, progress=lambda line: None)
    tasks: tuple[Any, ...] = tuple(dict.fromkeys(trial.task for trial in study))
    for name in OF_WORDS:
        if len({getattr(task, name, None) for task in tasks}) > 1:
            raise UserError(
                f"The run '{path}' varies {name}, so its cells do not read a text alike; name a run of one {name}."
            )
    found: dict[str, tuple[RunSpec, Path]] = {}
    for trial in study:
        if (file := member_folder(path, trial.name) / PARAMS).is_file():
            found.setdefault(trial.label, (trial, file))
    if not found:
        raise UserError(f"The run '{path}' has not validated any cell yet; wait until it has, or name another run.")
    vocabulary = _vocabulary(path)
    members = []
    for trial, file in found.values():
        model = trial.make_model(Sizes(len(vocabulary), 0, 1), trial.cell)
        members.append(RestoredMember(trial.label, trial.seed, model, _params(model, file)))
    return RestoredRun(tasks, vocabulary, kind.sides, tuple(members))


def read_text(run: RestoredRun, text: str) -> ReadText:
    """``text`` split into words and encoded as the run's own reviews were.

    Raises:
        UserError: no word in it, or none that the run knows.
    """
    words = split_words(text)
    count, where, note = len(words), "--text", ""
    task = run.tasks[0]
    if isinstance(task, Imdb | Text) and count > (limit := task.max_length):
        keep = task.keep
        words = words[-limit:] if keep == "last" else words[:limit]
        where = f"the {keep} {limit} words of --text"
        note = f"; this run reads the {keep} {limit} of a {task.example}."
    if isinstance(task, Recall) and count > (limits := sorted({task.longest for task in run.tasks}))[0]:
        note = f"; this run was trained on reviews of at most {' or '.join(map(str, limits))}."
    if not set(run.vocabulary).intersection(words):
        what = f"The run knows no word of {where}" if words else "There is no word in --text"
        examples = ", ".join(run.vocabulary[len(SPECIAL_WORDS) :][:3])
        raise UserError(f"{what}; give a text with words such as {examples}.")
    tokens, _ = encode([" ".join(words)], run.vocabulary, max_length=len(words), keep="last")
    return ReadText(tuple(words), tokens[0], note and f"The text has {count} words{note}")


def _vocabulary(path: Path) -> tuple[str, ...]:
    words = read_vocabulary(path)
    if words is None:
        raise UserError(
            f"'{path / VOCABULARY}' does not exist: the run is older than this file, in which its words stand; run "
            "again."
        )
    return words


def _params(model: nn.Module, path: Path) -> Any:
    """Parameters read back, and compared in name and shape with those that ``model`` has."""
    expected = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 1), np.int32))["params"]
    try:
        params = flax.serialization.msgpack_restore(path.read_bytes())
        if jax.tree.map(np.shape, params) == jax.tree.map(np.shape, expected):
            return params
        what = "their shapes are not those of the run's flags and vocabulary"
    except (ValueError, TypeError, LookupError, AttributeError, OSError, RecursionError) as error:
        what = str(error) or type(error).__name__
    raise UserError(f"The parameters in '{path}' are damaged ({what}); remove the folder around them or run again.")
