"""All experiments by name; their flags to and from config.json, and the differences between two runs' flags."""

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.base import Experiment
from experiments.flag_values import SECTIONS, FlagValue, flag_name, from_json
from experiments.tasks.adding import Adding
from experiments.tasks.characters import Characters
from experiments.tasks.copying import Copying
from experiments.tasks.episodes import Episodes
from experiments.tasks.flipflop import Flipflop
from experiments.tasks.imdb import Imdb
from experiments.tasks.mnist import Mnist
from experiments.tasks.recall import Recall
from experiments.tasks.series import Series
from experiments.tasks.temporal import Temporal
from experiments.tasks.text import Text
from experiments.tasks.trainability import Trainability
from rnnjax.errors import UserError
from rnnjax.regular_files import open_regular

if TYPE_CHECKING:
    from rnnjax.runs.schema import Config
    from rnnjax.typing import JSONValue

EXPERIMENT_CLASSES = (
    Recall, Imdb, Adding, Copying, Temporal, Episodes, Flipflop, Mnist, Characters, Text, Series, Trainability,
)  # fmt: skip
EXPERIMENTS: dict[str, type[Experiment]] = {kind.__name__.lower(): kind for kind in EXPERIMENT_CLASSES}
FILE_FLAGS = ("train", "test", "file")  # paths of the user's files, which are compared by content
RETIRED = "buckets"  # a flag of training in older runs, whose batches came in another order
FLAGS_WITHOUT_EFFECT = {"out", "data_dir", "tensorboard", *FILE_FLAGS}  # never change the numbers a run computes


def experiment_to_config(experiment: Experiment) -> "Config":
    """The config of a new run, its flags as JSON has them and without those of execution.

    ``contents`` maps each of ``FILE_FLAGS`` that is set to the SHA-256 digest of its file, or of all files below its
    folder, and each file with a cell of the user's own to its digest; unreadable files are left out.
    """
    from rnnjax.cells.registry import cell_files  # with jax, for which --help would wait
    from rnnjax.runs.schema import FORMAT_VERSION, Config  # with numpy

    flags = dataclasses.asdict(experiment)
    del flags["execution"]
    named = {name: flags[name] for name in FILE_FLAGS if flags.get(name) is not None}
    named |= {path.as_posix(): path for path in cell_files(experiment.cells)}
    contents = {name: digest for name, path in named.items() if (digest := _digest(Path(path)))}
    name = type(experiment).__name__.lower()
    return Config(format_version=FORMAT_VERSION, experiment=name, flags=_as_json(flags), contents=contents)


def _as_json(value: "JSONValue") -> "JSONValue":
    """Tuples as the lists that JSON has for them."""
    return json.loads(json.dumps(value))


def _digest(path: Path) -> str | None:
    try:
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.is_file())
            digests = [f"{file.relative_to(path)}\0{_digest(file)}" for file in files]
            return hashlib.sha256("\0".join(digests).encode(errors="surrogateescape")).hexdigest()
        with open_regular(path, sys.maxsize, follow_links=True) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def experiment_from_config(config: "Config") -> Experiment:
    """The experiment described by ``config``.

    A missing flag, as in runs older than the flag, gets its default; one that no longer exists is left out.

    Raises:
        UserError: an unknown experiment, an unknown flag, or a value that its flag does not accept.
    """
    name = str(config.experiment)
    if name not in EXPERIMENTS:
        raise UserError(
            f"The run's config.json names the experiment {name!r}, expected one of {', '.join(EXPERIMENTS)}; "
            "restore it or run again."
        )
    try:
        experiment: Experiment = from_json(EXPERIMENTS[name], _without_retired(config.flags))
    except (TypeError, OverflowError, UserError) as error:
        raise UserError(
            f"The flags in the run's config.json are damaged or of another version ({str(error).rstrip('.')}); "
            "restore it or run again."
        ) from None
    return experiment


def _without_retired(flags: "JSONValue") -> "JSONValue":
    if not _has_retired(flags):
        return flags
    training = {name: value for name, value in flags["training"].items() if name != RETIRED}
    return {**flags, "training": training}


def _has_retired(flags: "JSONValue") -> bool:
    return isinstance(flags, dict) and isinstance(flags.get("training"), dict) and RETIRED in flags["training"]


def config_differences(old: "Config", new: "Config") -> list[str]:
    """One line for each differing flag that affects results: ``--steps: 400 in the folder, 200 asked for``.

    Args:
        old: config of the run in the folder; missing flags count as their defaults.
        new: config of the requested run.

    Raises:
        UserError: a damaged config.
    """
    before, after = experiment_from_config(old), experiment_from_config(new)
    if type(before) is not type(after):
        return [f"experiment: {old.experiment} in the folder, {new.experiment} asked for"]
    old_flags, new_flags = _flatten_flags(before), _flatten_flags(after)
    retired = f"{flag_name(RETIRED)}: in the folder, whose batches came in another order; it no longer exists"
    return [
        *([retired] if _has_retired(old.flags) else []),
        *(
            f"{flag_name(name) if name in FILE_FLAGS else name}: {_changed_file(old, new, name)}"
            for name in dict.fromkeys((*FILE_FLAGS, *old.contents, *new.contents))
            if old.contents.get(name) != new.contents.get(name) and (name in FILE_FLAGS or name in new.contents)
        ),
        *(
            f"{flag_name(name)}: {_format_value(old_flags[name])} in the folder, {_format_value(value)} asked for"
            for name, value in new_flags.items()
            if value != old_flags[name] and name not in FLAGS_WITHOUT_EFFECT
        ),
    ]


def check_readable(old: "Config", new: "Config") -> None:
    """Raise UserError for a file of a run that the same flags no longer reach.

    Args:
        old: config of the run in the folder.
        new: config of the same flags here and now.
    """
    for name in FILE_FLAGS:
        file = new.flags.get(name)
        if file is not None and name in old.contents and name not in new.contents:
            raise UserError(
                f"{flag_name(name)} {file} cannot be read from the current folder; go to the folder in which the run "
                "was trained, or restore the file."
            )


def _changed_file(old: "Config", new: "Config", name: str) -> str:
    """How a file of the user's differs between two configs of different contents."""
    if name in FILE_FLAGS and old.flags.get(name) is None:
        return f"none in the folder, {new.flags.get(name)} asked for"
    if name in FILE_FLAGS and new.flags.get(name) is None:
        return f"{old.flags.get(name)} in the folder, none asked for"
    if name in FILE_FLAGS and name not in new.contents:
        return f"{new.flags.get(name)} cannot be read from the current folder"
    return "the file's content has changed since the run"


def _flatten_flags(experiment: Experiment) -> dict[str, FlagValue]:
    """Field -> value, those of the sections among them, without the flags of execution."""
    flags = {field.name: getattr(experiment, field.name) for field in dataclasses.fields(experiment)}
    del flags["execution"]
    for section in SECTIONS:
        flags |= dataclasses.asdict(flags.pop(section))
    return flags


def _format_value(value: FlagValue) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
