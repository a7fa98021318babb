"""A run folder turned back into what wrote it: the experiment from its flags, models with their trained parameters."""

import dataclasses
import json
import types
import typing
from pathlib import Path
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import flax.serialization
import jax
import numpy as np

from experiments.imdb import Imdb
from experiments.recall import Recall
from rnnjax.cells.spec import slug_of
from rnnjax.data.examples import SPECIAL_WORDS
from rnnjax.data.vocabulary import encode, split_words
from rnnjax.errors import UserError
from rnnjax.training.job import parse_cells

EXPERIMENTS: dict[str, type[Recall] | type[Imdb]] = {"recall": Recall, "imdb": Imdb}


class RestoredMember(NamedTuple):
    """One trained cell."""

    label: str
    seed: int
    model: nn.Module
    params: Any  # of the best validation


class RestoredRun(NamedTuple):
    """What a run has trained."""

    experiment: Recall | Imdb
    vocabulary: tuple[str, ...]  # id -> word
    members: tuple[RestoredMember, ...]  # of each cell the first seed that was validated, in the order of --cells


class ReadText(NamedTuple):
    """A text as a run reads it."""

    words: tuple[str, ...]  # T words
    tokens: np.ndarray  # (T,) int32 word ids, 1 = unknown
    note: str  # what the run does not do with all of it, or has never done; empty as a rule


def experiment_from_config(config: dict[str, Any]) -> Recall | Imdb:
    """The experiment that wrote ``config`` = {"experiment": name, "flags": {...}}.

    A flag that is not there, as in runs that are older than the flag, gets its default.

    Raises:
        UserError: an unknown experiment, an unknown flag, or a value that the flag cannot have.
    """
    name = str(config.get("experiment"))
    if name not in EXPERIMENTS:
        raise UserError(
            f"The run's config.json names the experiment {name!r}, expected {' or '.join(EXPERIMENTS)}; "
            "restore it or run again."
        )
    try:
        experiment: Recall | Imdb = _typed(EXPERIMENTS[name], config.get("flags"))
    except (TypeError, UserError) as error:
        raise UserError(
            f"The flags in the run's config.json are damaged or of another version ({str(error).rstrip('.')}); "
            "restore it or run again."
        ) from None
    return experiment


def restore_run(path: Path) -> RestoredRun:
    """The first validated seed of each cell of a run, finished or not.

    Raises:
        UserError: ``path`` is not a run folder, is too old, has validated nothing yet, or a file in it is damaged.
    """
    if not (path / "config.json").is_file():
        raise UserError(f"'{path}' is not a run folder (it holds no config.json); name a folder that a run wrote.")
    config = _json(path / "config.json")
    if not isinstance(config, dict):
        raise UserError(f"'{path / 'config.json'}' is damaged, expected a JSON object in it; restore it or run again.")
    experiment = experiment_from_config(config)
    cells = parse_cells(experiment.cells, experiment.features)
    found = [(label, *seed_and_file) for label in cells if (seed_and_file := _validated(path, label, experiment))]
    if not found:
        raise UserError(f"The run '{path}' has not validated any cell yet; wait until it has, or name another run.")
    vocabulary = _vocabulary(path / "vocabulary.json")
    models = {label: experiment.model(len(vocabulary), cell) for label, cell in cells.items()}
    members = (RestoredMember(label, seed, models[label], _params(models[label], file)) for label, seed, file in found)
    return RestoredRun(experiment, vocabulary, tuple(members))


def read_text(run: RestoredRun, text: str) -> ReadText:
    """``text`` split into words and encoded as the run's own reviews were.

    Raises:
        UserError: no word in it, or none that the run knows.
    """
    words = split_words(text)
    count, where, note = len(words), "--text", ""
    if isinstance(run.experiment, Imdb) and count > (limit := run.experiment.max_length):
        keep = run.experiment.keep
        words = words[-limit:] if keep == "last" else words[:limit]
        where, note = f"the {keep} {limit} words of --text", f"; this run reads the {keep} {limit} of a review."
    if isinstance(run.experiment, Recall) and count > (limit := run.experiment.max_distance + 1):
        note = f"; this run was trained on reviews of at most {limit}."
    if not set(run.vocabulary).intersection(words):
        what = f"The run knows no word of {where}" if words else "There is no word in --text"
        examples = ", ".join(run.vocabulary[len(SPECIAL_WORDS) :][:3])
        raise UserError(f"{what}; give a text with words such as {examples}.")
    tokens, _ = encode([" ".join(words)], run.vocabulary, max_length=len(words), keep="last")
    return ReadText(tuple(words), tokens[0], note and f"The text has {count} words{note}")


def _typed(hint: Any, value: Any) -> Any:
    """``value``, as JSON has it, as the type ``hint``; TypeError where it is none."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        hints = typing.get_type_hints(hint)
        fields = {field.name: hints[field.name] for field in dataclasses.fields(hint)}
        if unknown := set(value) - set(fields):
            raise TypeError(f"unknown: {', '.join(sorted(unknown))}")
        return typing.cast(Any, hint)(**{name: _typed(fields[name], told) for name, told in value.items()})
    if origin is tuple and isinstance(value, list):
        return tuple(_typed(arguments[0], item) for item in value)
    if origin in (types.UnionType, typing.Union):
        return value if value is None and type(None) in arguments else _typed(arguments[0], value)
    if origin is Literal and value in arguments:
        return value
    if type(value) is hint or (hint is float and type(value) is int):
        return value
    raise TypeError(f"{value!r} is not {getattr(hint, '__name__', hint)}")


def _validated(run: Path, label: str, experiment: Recall | Imdb) -> tuple[int, Path] | None:
    """(seed, parameter file) of the first seed that has one."""
    settings = experiment.training
    files = {
        seed: run / "members" / f"{slug_of(label)}-seed{seed}" / "params.msgpack"
        for seed in range(settings.seed, settings.seed + settings.seeds)
    }
    return next(((seed, file) for seed, file in files.items() if file.is_file()), None)


def _vocabulary(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise UserError(
            f"'{path}' does not exist: the run is older than this file, in which its words stand; run again."
        )
    words = _json(path)
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UserError(f"'{path}' is damaged, expected a JSON list of words in it; restore it or run again.")
    return tuple(words)


def _params(model: nn.Module, path: Path) -> Any:
    """Parameters read back, and compared in name and shape with those that ``model`` has."""
    expected = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 1), np.int32))["params"]
    try:
        params = flax.serialization.msgpack_restore(path.read_bytes())
        if jax.tree.map(np.shape, params) == jax.tree.map(np.shape, expected):
            return params
        what = "their shapes are not those of the run's flags and vocabulary"
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = str(error) or type(error).__name__
    raise UserError(f"The parameters in '{path}' are damaged ({what}); remove the folder around them or run again.")


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"'{path}' is damaged, not valid JSON ({error}); restore it or run again.") from None
