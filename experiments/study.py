"""A study: every cell at every combination of what --sweep varies, from every seed, in a fixed order."""

import dataclasses
import functools
import itertools
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from experiments.flags import Experiment, from_word
from rnnjax.cells.spec import CELLS, OPTIONS, cell_from_spec, label_of
from rnnjax.errors import UserError
from rnnjax.training.execution import Execution
from rnnjax.training.progress import ProgressView
from rnnjax.training.settings import TrainingSettings
from rnnjax.training.trial import Trial

NOT_SWEPT = {"cells", "out", "sweep", "shard", "execution", "data_dir", "training", "seed", "seeds", "tensorboard"}
TRAINING = {field.name for field in dataclasses.fields(TrainingSettings)}
CELL, INIT = "cell.", "cell.init"


class Sweepable(NamedTuple):
    """What --sweep can vary."""

    parse: Callable[[str], Any]  # raises TypeError, ValueError or KeyError
    wanted: str  # of its values


def run(experiment: Experiment, folder: Path, view: ProgressView) -> None:
    """Train and test every run of a study, or of its shard, into ``folder``."""
    from rnnjax.training.job import run_study

    run_study(folder, trials(experiment, view.line), experiment.execution, view)


def trials(experiment: Experiment, progress: Callable[[str], None]) -> tuple[Trial, ...]:
    """The runs of a study: cells, then what is swept in the order of the flags, then seeds, the last fastest.

    Args:
        experiment: with --sweep and --shard.
        progress: called with one line at each stage in which data are prepared.

    Returns:
        The runs of the shard, a contiguous block, or of the whole study where none is given.

    Raises:
        UserError: a cell, a sweep or a shard that is wrong.
    """
    axes = _axes(experiment)
    study = tuple(
        trial
        for spec in experiment.cells
        for point in itertools.product(*axes.values())
        for trial in _seeds(experiment, spec, dict(zip(axes, point, strict=True)), progress)
    )
    if len({trial.name for trial in study}) < len(study) or not study:
        told = " ".join(experiment.cells) or "none"
        raise UserError(f"--cells wants at least one cell and none twice, but {told} was given.")
    return _shard(study, experiment.shard)


def sweepable(experiment: Experiment) -> dict[str, Sweepable]:
    """Name -> what --sweep can vary: the flags that results depend on, and the options of cells."""
    hints = typing.get_type_hints(type(experiment)) | typing.get_type_hints(TrainingSettings)
    return {
        **{
            name: Sweepable(functools.partial(from_word, hint), _wanted(hint))
            for name, hint in hints.items()
            if name not in NOT_SWEPT
        },
        INIT: Sweepable(_init, "default, chrono, orthogonal, identity, or a scaled one as in orthogonal*0.9"),
        **{CELL + option: Sweepable(*told) for option, told in OPTIONS.items()},
    }


def _wanted(hint: Any) -> str:
    if typing.get_origin(hint) is Literal:
        return " or ".join(typing.get_args(hint))
    return "a whole number" if hint is int else "a number"


def _init(word: str) -> Any:
    return word if word in ("default", "chrono") else OPTIONS["recurrent_init"][0](word)


def _axes(experiment: Experiment) -> dict[str, tuple[Any, ...]]:
    """Name -> the values that --sweep gives it: numbers as such, all else as the word."""
    known, axes = sweepable(experiment), dict[str, tuple[Any, ...]]()
    for item in experiment.sweep:
        name, _, listed = item.partition("=")
        name, words = name.strip().replace("-", "_"), [word.strip() for word in listed.split(",")]
        if not name or not all(words):
            raise UserError(
                f"--sweep wants name=value,value as in --sweep learning_rate=1e-3,3e-3, but {item!r} was given."
            )
        if name not in known:
            raise UserError(f"There is no {name!r} that --sweep can vary; choose from {', '.join(known)}.")
        if name in axes:
            raise UserError(f"--sweep {name} stands twice; give it once, with all values in a row.")
        parsed = [_parsed(name, word, known[name]) for word in words]
        if len(set(parsed)) < len(parsed):
            raise UserError(f"--sweep {name} wants every value once, but {listed} was given.")
        values = zip(parsed, words, strict=True)
        axes[name] = tuple(value if isinstance(value, int | float) else word for value, word in values)
    return axes


def _parsed(name: str, word: str, axis: Sweepable) -> Any:
    try:
        return axis.parse(word)
    except (TypeError, ValueError, KeyError):
        raise UserError(f"--sweep {name} wants {axis.wanted}, but {word!r} was given.") from None


def _seeds(
    experiment: Experiment, spec: str, varied: Mapping[str, Any], progress: Callable[[str], None]
) -> Iterator[Trial]:
    """The runs of one cell at one combination."""
    flags = {name: value for name, value in varied.items() if not name.startswith(CELL)}
    training = {name: flags[name] for name in flags if name in TRAINING}
    own: dict[str, Any] = {name: flags[name] for name in flags if name not in TRAINING}
    settings = dataclasses.replace(experiment.training, **training)
    changed = dataclasses.replace(experiment, training=settings, **own)
    spec = _with_options(experiment, spec, varied, changed.longest)
    cell = cell_from_spec(spec, changed.features)
    label = " ".join([label_of(spec), *(f"{name}={_text(value)}" for name, value in flags.items())])
    task = dataclasses.replace(
        changed, cells=(), sweep=(), shard=None, out=None, execution=Execution(),
        training=TrainingSettings(batch_size=settings.batch_size),
    )  # fmt: skip
    for seed in range(settings.seed, settings.seed + settings.seeds):
        make_dataset = functools.partial(changed.dataset, seed, progress)
        yield Trial(label, seed, cell, settings, task, changed.model, make_dataset, varied)


def _with_options(experiment: Experiment, spec: str, varied: Mapping[str, Any], longest: int) -> str:
    """``spec`` with the options that --sweep sets, each of which the cell must have and ``spec`` not set itself."""
    cell = cell_from_spec(spec, experiment.features)
    name, _, rest = spec.strip().partition(":")
    options = list(filter(None, rest.split(",")))
    for swept, value in varied.items():
        option, text = swept.removeprefix(CELL), _text(value)
        if not swept.startswith(CELL) or (swept, value) == (INIT, "default"):
            continue
        if swept == INIT:
            option, text = ("chrono", str(longest)) if value == "chrono" else ("recurrent_init", text)
        if not hasattr(cell, option):
            have = [other for other in CELLS if hasattr(CELLS[other](1), option)]
            raise UserError(
                f"The cell {name!r} has no option {option}, which --sweep {swept} sets; "
                f"name others with --cells, as in --cells {' '.join(have)}."
            )
        if option in (given.partition("=")[0] for given in options):
            raise UserError(
                f"--sweep {swept} sets {option} of the cell {spec!r}, where it is set already; set it in one place."
            )
        options.append(f"{option}={text}")
    return f"{name}:{','.join(options)}"


def _text(value: Any) -> str:
    """A value in a label: whole numbers without a point, as they are typed."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)


def _shard(study: tuple[Trial, ...], shard: str | None) -> tuple[Trial, ...]:
    """The i-th of n contiguous blocks, for ``shard`` = i/n."""
    if shard is None:
        return study
    told = re.fullmatch(r"(\d+)/(\d+)", shard)
    if told is None or not 1 <= int(told[1]) <= int(told[2]):
        raise UserError(f"--shard must be i/n with i from 1 to n, as in 1/4, but {shard} was given.")
    i, n = int(told[1]), int(told[2])
    part = study[len(study) * (i - 1) // n : len(study) * i // n]
    if not part:
        raise UserError(f"--shard {shard} is empty, since the study has {len(study)} runs; give at most as many parts.")
    return part
