"""A study: every cell at every combination of what --sweep varies, from every seed, in a fixed order."""

import dataclasses
import functools
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from experiments.base import Experiment
from experiments.sweep import CELL, INIT, joined, own_flags, parsed, sweepable, text_of, with_flags
from rnnjax.cells.registry import CELLS, cell_from_spec, label_of
from rnnjax.config.execution import Execution
from rnnjax.config.training import TrainingSettings
from rnnjax.errors import UserError
from rnnjax.training.run_spec import RunSpec


def run_specs(experiment: Experiment, progress: Callable[[str], None]) -> tuple[RunSpec, ...]:
    """The runs of a study: cells, then what is swept in the order of the flags, then seeds, the last fastest.

    Args:
        experiment: with --sweep and --shard.
        progress: called with one line at each stage in which data are prepared.

    Returns:
        The runs of the shard, a contiguous block, or of the whole study where none is given.

    Raises:
        UserError: a cell, a sweep or a shard that is wrong.
    """
    study = [trial for part in experiment.studies() for trial in _trials(part, progress)]
    return shard_of(tuple(study), experiment.shard)


def _trials(experiment: Experiment, progress: Callable[[str], None]) -> tuple[RunSpec, ...]:
    """All runs of one study."""
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
    return study


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
        typed = [parsed(f"--sweep {name}", word, known[name]) for word in words]
        if len(set(typed)) < len(typed):
            raise UserError(f"--sweep {name} wants every value once, but {listed} was given.")
        values = zip(typed, words, strict=True)
        axes[name] = tuple(value if isinstance(value, int | float) else word for value, word in values)
    return axes


def _seeds(
    experiment: Experiment, spec: str, varied: Mapping[str, Any], progress: Callable[[str], None]
) -> Iterator[RunSpec]:
    """The runs of one cell at one combination."""
    flags = {name: value for name, value in varied.items() if not name.startswith(CELL)}
    cell_spec, own = own_flags(experiment, spec)
    if twice := sorted(flags.keys() & own.keys()):
        raise UserError(f"--sweep {twice[0]} sets a flag that the cell {spec!r} sets already; set it in one place.")
    changed = with_flags(experiment, {**flags, **own})
    options = _swept_options(changed, cell_spec, varied)
    cell = cell_from_spec(joined(cell_spec, options), changed.features)
    label = " ".join([label_of(joined(spec, options)), *(f"{name}={text_of(value)}" for name, value in flags.items())])
    settings = changed.training
    task = dataclasses.replace(
        changed, cells=(), sweep=(), shard=None, out=None, execution=Execution(),
        training=TrainingSettings(batch_size=settings.batch_size),
    )  # fmt: skip
    for seed in range(settings.seed, settings.seed + settings.seeds):
        make_dataset = functools.partial(changed.dataset, seed, progress)
        yield RunSpec(label, seed, cell, settings, task, changed.model, make_dataset, varied, changed.about())


def _swept_options(experiment: Experiment, spec: str, varied: Mapping[str, Any]) -> list[str]:
    """The options that --sweep sets, each of which the cell must have and ``spec`` not set itself."""
    cell = cell_from_spec(spec, experiment.features)
    name, _, rest = spec.partition(":")
    given, options = {option.partition("=")[0] for option in rest.split(",")}, list[str]()
    for swept, value in varied.items():
        option, text = swept.removeprefix(CELL), text_of(value)
        if not swept.startswith(CELL) or (swept, value) == (INIT, "default"):
            continue
        if swept == INIT:
            option, text = ("chrono", str(experiment.longest)) if value == "chrono" else ("recurrent_init", text)
        if not hasattr(cell, option):
            have = [other for other in CELLS if hasattr(CELLS[other](1), option)]
            raise UserError(
                f"The cell {name!r} has no option {option}, which --sweep {swept} sets; "
                f"name others with --cells, as in --cells {' '.join(have)}."
            )
        if option in given:
            raise UserError(
                f"--sweep {swept} sets {option} of the cell {spec!r}, where it is set already; set it in one place."
            )
        given.add(option)
        options.append(f"{option}={text}")
    return options


def shard_of(study: tuple[RunSpec, ...], shard: str | None) -> tuple[RunSpec, ...]:
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
