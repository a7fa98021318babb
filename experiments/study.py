"""A study: every cell at every combination of what --sweep varies, for every seed, in a fixed order."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping

from experiments.base import Experiment
from experiments.flag_values import FlagValue
from experiments.sweep import (
    CELL,
    INIT,
    add_options,
    format_value,
    parse_flag,
    replace_flags,
    split_cell_spec,
    sweepable_flags,
)
from rnnjax.cells import Cell, ElementwiseCell, IndRNN, SimpleRNN
from rnnjax.cells.registry import CELLS, cell_from_spec, label_of, parse_spec
from rnnjax.cells.specs.options import cell_options
from rnnjax.config.execution import Execution
from rnnjax.config.shard import parse_shard
from rnnjax.config.training import TrainingSettings
from rnnjax.errors import UserError
from rnnjax.training.run_spec import RunSpec

MOST_RUNS = 100_000  # of a study; a config.json from a stranger may ask for billions


def run_specs(experiment: Experiment, progress: Callable[[str], None]) -> tuple[RunSpec, ...]:
    """The runs of a study, ordered by cell, then by swept flags in the order given, then by seed (fastest).

    Args:
        experiment: with --sweep and --shard.
        progress: called with one line at each stage of preparing data.

    Returns:
        The runs of the shard, a contiguous block, or of the whole study where no shard is given.

    Raises:
        UserError: an invalid cell, sweep or shard, or more than ``MOST_RUNS`` runs.
    """
    parts = experiment.studies()
    if (count := sum(map(_count_runs, parts))) > MOST_RUNS:
        raise UserError(
            f"A study may have {MOST_RUNS:,} runs, but the cells, --sweep and --seeds together ask for {count:,}; give "
            "fewer of them."
        )
    study = [spec for part in parts for spec in _study_specs(part, progress)]
    return select_shard(tuple(study), experiment.shard)


def _count_runs(experiment: Experiment) -> int:
    """How many runs one study has."""
    points = math.prod(map(len, _sweep_axes(experiment).values()))
    return len(experiment.cells) * points * experiment.training.seeds


def _study_specs(experiment: Experiment, progress: Callable[[str], None]) -> tuple[RunSpec, ...]:
    """All runs of one study."""
    axes = _sweep_axes(experiment)
    study = tuple(
        spec
        for cell_spec in experiment.cells
        for point in itertools.product(*axes.values())
        for spec in _seed_specs(experiment, cell_spec, dict(zip(axes, point, strict=True)), progress)
    )
    if len({spec.name for spec in study}) < len(study) or not study:
        cells = " ".join(experiment.cells) or "none"
        raise UserError(f"--cells must be one or more different cells, but {cells} was given.")
    return study


def _sweep_axes(experiment: Experiment) -> dict[str, tuple[FlagValue, ...]]:
    """Name -> the values that --sweep gives it: numbers parsed, other values as the text that was given."""
    known, axes = sweepable_flags(experiment), dict[str, tuple[FlagValue, ...]]()
    for item in experiment.sweep:
        name, _, value_list = item.partition("=")
        name, texts = name.strip().replace("-", "_"), [text.strip() for text in value_list.split(",")]
        if not name or not all(texts):
            raise UserError(
                f"--sweep must be name=value,value as in --sweep learning_rate=1e-3,3e-3, but {item!r} was given."
            )
        if name not in known:
            raise UserError(f"There is no {name!r} that --sweep can vary; choose from {', '.join(known)}.")
        if name in axes:
            raise UserError(f"--sweep {name} is given twice; give it once, with all its values.")
        parsed = [parse_flag(f"--sweep {name}", text, known[name]) for text in texts]
        if len(set(parsed)) < len(parsed):
            raise UserError(f"--sweep {name} must have different values, but {value_list} was given.")
        values = zip(parsed, texts, strict=True)
        axes[name] = tuple(value if isinstance(value, int | float) else text for value, text in values)
    return axes


def _seed_specs(
    experiment: Experiment, cell_spec: str, varied: Mapping[str, FlagValue], progress: Callable[[str], None]
) -> Iterator[RunSpec]:
    """The runs of one cell at one combination of swept values, one for each seed."""
    swept_flags = {name: value for name, value in varied.items() if not name.startswith(CELL)}
    bare_spec, cell_flags = split_cell_spec(experiment, cell_spec)
    if repeated := sorted(swept_flags.keys() & cell_flags.keys()):
        raise UserError(
            f"--sweep {repeated[0]} sets a flag that the cell {cell_spec!r} sets already; set it in one of the two."
        )
    changed = replace_flags(experiment, {**swept_flags, **cell_flags})
    options = _swept_options(changed, bare_spec, varied)
    cell = cell_from_spec(add_options(bare_spec, options), changed.features)
    suffixes = [f"{name}={format_value(value)}" for name, value in swept_flags.items()]
    label = " ".join([label_of(add_options(cell_spec, options)), *suffixes])
    settings = changed.training
    _check_penalties(settings, cell, cell_spec)
    task = dataclasses.replace(
        changed, cells=(), sweep=(), shard=None, out=None, execution=Execution(),
        training=TrainingSettings(batch_size=settings.batch_size),
    )  # fmt: skip
    for seed in range(settings.seed, settings.seed + settings.seeds):
        make_dataset = functools.partial(changed.dataset, seed, progress)
        metadata = changed.report_metadata()
        yield RunSpec(label, seed, cell, settings, task, changed.model, make_dataset, varied, metadata)


def _check_penalties(settings: TrainingSettings, cell: Cell, cell_spec: str) -> None:
    """Raise UserError for a penalty that is not defined for the cell."""
    for flag in ("omega", "flossing"):
        if getattr(settings, flag) and not isinstance(cell, ElementwiseCell):
            raise UserError(
                f"--{flag} reads the equations of an elementwise cell, which {cell_spec!r} is not; leave it out, or "
                "choose other cells."
            )
    if settings.omega and isinstance(cell, ElementwiseCell) and not cell.recurrent_kernel:
        raise UserError(
            f"--omega changes W_h alone, which {cell_spec!r} does not have; leave it out, or choose other cells."
        )
    if settings.flossing and isinstance(cell, SimpleRNN | IndRNN) and cell.activation == "relu" and not cell.zoneout:
        raise UserError(
            f"--flossing needs finite Lyapunov exponents, and those of relu in {cell_spec!r} are not; leave it out, or "
            "choose tanh."
        )


def _swept_options(experiment: Experiment, cell_spec: str, varied: Mapping[str, FlagValue]) -> list[str]:
    """``name=value`` for each cell option in ``varied``.

    Raises:
        UserError: the cell has no such option, or ``cell_spec`` sets it already.
    """
    cell_from_spec(cell_spec, experiment.features)  # the first error is that of the cell itself
    spec = parse_spec(cell_spec)
    given, options = {option.partition("=")[0] for option in spec.options}, list[str]()
    known = cell_options(spec.load_class())
    for name, value in varied.items():
        option, text = name.removeprefix(CELL), format_value(value)
        if not name.startswith(CELL) or (name, value) == (INIT, "default"):
            continue
        if name == INIT:
            option, text = ("chrono", str(experiment.longest)) if value == "chrono" else ("recurrent_init", text)
        if option not in known:
            others = [other for other, cell_type in CELLS.items() if option in cell_options(cell_type)]
            example = f", as in --cells {' '.join(others)}" if others else ""
            raise UserError(
                f"The cell {spec.name!r} has no option {option}, which --sweep {name} sets; choose other "
                f"cells{example}."
            )
        if option in given:
            raise UserError(
                f"--sweep {name} sets {option} of the cell {cell_spec!r}, which sets it already; "
                "set it in one of the two."
            )
        given.add(option)
        options.append(f"{option}={text}")
    return options


def select_shard(study: tuple[RunSpec, ...], shard: str | None) -> tuple[RunSpec, ...]:
    """The i-th of n contiguous blocks of ``study`` for ``shard`` = "i/n"; all of it for None."""
    if shard is None:
        return study
    parsed = parse_shard(shard)
    if parsed is None:
        raise UserError(f"--shard must be i/n with i from 1 to n, as in 1/4, but {shard} was given.")
    i, n = parsed
    block = study[len(study) * (i - 1) // n : len(study) * i // n]
    if not block:
        raise UserError(f"--shard {shard} is empty, since the study has only {len(study)} runs; use fewer shards.")
    return block
