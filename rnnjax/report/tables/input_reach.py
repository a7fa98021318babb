"""The table of how far back answers depend on their input: for the terminal, and as CSV."""

from collections.abc import Sequence

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from rnnjax.analysis.input_reach import InputReach
from rnnjax.formatting import loss, number, short_loss, short_percent
from rnnjax.report.summary.input_reach import CellReach, NetworkReach, cells_of, steps_of
from rnnjax.report.summary.seed_groups import lower_median, mean
from rnnjax.report.tables.export import Value, records_as_csv
from rnnjax.report.tables.fields import Field, seeds_field
from rnnjax.typing import Floats

SHARES = {"tenth": 0.1, "half": 0.5}  # of the length, in whose last steps the score is shown
TITLES = (
    "task", "cell", "length", "score", "last\ntenth", "last\nhalf", "95% of it\nwithin", "furthest\nsingle input",
)  # fmt: skip
NOTE = (
    "Score: on test data, accuracy in percent; the loss where labels are numbers or symbols, or the RMSE in the unit "
    "of labels from a file; of an answer at every step, that of the last one. Last tenth, last half: the score when "
    "all inputs further back are those of another example. "
    "95% of it within: the smallest number of last steps with which 95% of what the score is above the best constant "
    "answer is left; at chance: it is not above it by 3 standard errors. Furthest single input: the largest distance "
    "from the last step at which exchanging one input moves the answer by 10% of the largest such move, of networks "
    "that are not at chance. Of several seeds: the mean of scores and the median of steps (of two the lower), below it "
    "the lowest and highest; of one seed, in square brackets, two standard errors over the examples."
)


def rich_reach(networks: Sequence[NetworkReach]) -> Table:
    """The table for ``rich.print``, a row for each run and cell."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    for index, title in enumerate(TITLES):
        table.add_column(Text(title), justify="right" if index > 1 else "left", overflow="fold")
    for cell in cells_of(networks):
        fields = row(cell)
        table.add_row(*(Text(f.value).append(f"\n{f.spread}" if f.spread else "", style="dim") for f in fields))
    return table


def row(cell: CellReach) -> list[Field]:
    """The fields of one row, in the order of ``TITLES``."""
    first, count = cell.first, len(cell.networks)
    scores = [cell.values(lambda network: float(network.shown(network.measured.score[-1])))]
    scores += [cell.scores_with(share) for share in SHARES.values()]
    return [
        Field(first.experiment, first.run.resolve().name),
        Field(first.label, f"{count} seed{'' if count == 1 else 's'}"),
        Field(f"{first.length:,}"),
        *(_score_field(cell, values) for values in scores),
        _reach_field(cell),
        _furthest_field(cell),
    ]


def _score_field(cell: CellReach, values: Floats) -> Field:
    if cell.first.task.by_loss:
        return seeds_field(values, mean, loss, short_loss)
    return seeds_field(values, mean, short_percent)


def _reach_field(cell: CellReach) -> Field:
    if cell.at_chance == len(cell.networks):
        return Field("at chance")
    field = seeds_field(cell.values(lambda network: network.measured.reach), lower_median, number)
    if len(cell.networks) == 1:
        low, high = cell.first.measured.reach_bounds or (0, 0)
        return Field(field.value, "" if low == high else f"[{number(low)}–{number(high)}]")
    spread = [field.spread] if field.spread else []
    spread += [f"{cell.at_chance} at chance"] if cell.at_chance else []
    return Field(field.value, ", ".join(spread))


def _furthest_field(cell: CellReach) -> Field:
    above = CellReach(tuple(network for network in cell.networks if not network.measured.left.at_chance))
    return seeds_field(above.values(lambda network: network.measured.furthest), lower_median, number)


def reach_csv(networks: Sequence[NetworkReach]) -> str:
    """A row for each network, with exact numbers; empty fields at chance."""
    return records_as_csv([_record(network) for network in networks])


def _record(network: NetworkReach) -> dict[str, Value]:
    measured = network.measured
    low, high = measured.reach_bounds or (None, None)
    return {
        "task": network.experiment,
        "label": network.label,
        "seed": network.seed,
        "length": network.length,
        "examples": measured.examples,
        "score": "loss" if network.task.by_loss else "accuracy",
        "constant_answer": measured.constant,
        "intact": float(measured.score[-1]),
        **{f"last_{name}": measured.score_with(steps_of(network.length, share)) for name, share in SHARES.items()},
        "at_chance": int(measured.left.at_chance),
        "reach_95": measured.reach,
        "reach_95_low": low,
        "reach_95_high": high,
        "furthest_single_input": measured.furthest,
        "examples_single_input": measured.swapped,
    }


def curves_csv(networks: Sequence[NetworkReach]) -> str:
    """The curves: a row for each network and distance.

    With the last ``steps`` intact and all further back exchanged, ``score`` and ``score_left`` with its standard error;
    with the single input ``steps`` back from the last one exchanged, ``move`` of the answer. Empty where not measured.
    """
    return records_as_csv([record for network in networks for record in _curve(network)])


def _curve(network: NetworkReach) -> list[dict[str, Value]]:
    measured: InputReach = network.measured
    place = {int(k): i for i, k in enumerate(measured.kept)}
    records: list[dict[str, Value]] = []
    for steps in sorted({*place, *range(len(measured.moves))}):
        i = place.get(steps)
        values = [None] * 3 if i is None else [a[i] for a in (measured.score, measured.left.share, measured.left.error)]
        move = measured.moves[steps] if steps < len(measured.moves) else None
        columns = dict(
            zip(("score", "score_left", "standard_error", "move"), map(_known, [*values, move]), strict=True)
        )
        records.append({"label": network.label, "seed": network.seed, "steps": steps, **columns})
    return records


def _known(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)
