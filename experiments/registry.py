"""An experiment and its flags: as config.json keeps them, how two runs differ in them, and a value that was typed."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.base import Experiment
from experiments.flag_values import SECTIONS, flag_of, typed
from experiments.tasks.adding import Adding
from experiments.tasks.characters import Characters
from experiments.tasks.copying import Copying
from experiments.tasks.imdb import Imdb
from experiments.tasks.mnist import Mnist
from experiments.tasks.recall import Recall
from experiments.tasks.series import Series
from experiments.tasks.temporal import Temporal
from experiments.tasks.text import Text
from experiments.tasks.trainability import Trainability
from rnnjax.errors import UserError

if TYPE_CHECKING:
    from rnnjax.runs.schema import Config
    from rnnjax.typing import JSONValue

KINDS = (Recall, Imdb, Adding, Copying, Temporal, Mnist, Characters, Text, Series, Trainability)
EXPERIMENTS: dict[str, type[Experiment]] = {kind.__name__.lower(): kind for kind in KINDS}
FILES = ("train", "test", "file")  # flags that name files of the user, which count by what is in them
WITHOUT_EFFECT = {"out", "data_dir", "tensorboard", *FILES}  # on the numbers that a run computes


def config_of(experiment: Experiment) -> "Config":
    """The config of a new run, its flags as JSON has them and without those of execution.

    ``contents`` are the digests of the files that ``FILES`` name; one that cannot be read has none.
    """
    from rnnjax.runs.schema import FORMAT_VERSION, Config  # with numpy, for which --help would wait

    flags = dataclasses.asdict(experiment)
    del flags["execution"]
    named = {name: flags[name] for name in FILES if flags.get(name) is not None}
    contents = {name: digest for name, path in named.items() if (digest := _digest(Path(path)))}
    name = type(experiment).__name__.lower()
    return Config(format_version=FORMAT_VERSION, experiment=name, flags=_as_json(flags), contents=contents)


def _as_json(value: "JSONValue") -> "JSONValue":
    """Tuples as the lists that JSON has for them."""
    return json.loads(json.dumps(value))


def _digest(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def experiment_from_config(config: "Config") -> Experiment:
    """The experiment that wrote ``config``.

    A flag that is not there, as in runs that are older than the flag, gets its default.

    Raises:
        UserError: an unknown experiment, an unknown flag, or a value that the flag cannot have.
    """
    name = str(config.experiment)
    if name not in EXPERIMENTS:
        raise UserError(
            f"The run's config.json names the experiment {name!r}, expected one of {', '.join(EXPERIMENTS)}; "
            "restore it or run again."
        )
    try:
        experiment: Experiment = typed(EXPERIMENTS[name], config.flags)
    except (TypeError, OverflowError, UserError) as error:
        raise UserError(
            f"The flags in the run's config.json are damaged or of another version ({str(error).rstrip('.')}); "
            "restore it or run again."
        ) from None
    return experiment


def difference(old: "Config", new: "Config") -> list[str]:
    """One line for each flag that changes results and differs: ``--steps: 400 in the folder, 200 asked for``.

    Args:
        old: config of the run in the folder; a flag that it lacks counts as its default.
        new: config of what is asked for.

    Raises:
        UserError: a config that is damaged.
    """
    before, after = experiment_from_config(old), experiment_from_config(new)
    if type(before) is not type(after):
        return [f"experiment: {old.experiment} in the folder, {new.experiment} asked for"]
    was, wanted = _flat(before), _flat(after)
    return [
        *(
            f"{flag_of(name)}: its content is not that of the run"
            for name in FILES
            if old.contents.get(name) != new.contents.get(name)
        ),
        *(
            f"{flag_of(name)}: {_shown(was[name])} in the folder, {_shown(value)} asked for"
            for name, value in wanted.items()
            if value != was[name] and name not in WITHOUT_EFFECT
        ),
    ]


def _flat(experiment: Experiment) -> dict[str, Any]:
    """Field -> value of an experiment and its sections."""
    flags = {field.name: getattr(experiment, field.name) for field in dataclasses.fields(experiment)}
    del flags["execution"]
    for section in SECTIONS:
        flags |= dataclasses.asdict(flags.pop(section))
    return flags


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
