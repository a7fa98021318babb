"""One section of a page: a figure, how it is read, what it shows of these runs, and where its numbers come from."""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from rnnjax.report.summary.seed_groups import SeedGroup
from rnnjax.report.text.headline import Said

SeedGroups = tuple[SeedGroup, ...]


@dataclass(frozen=True)
class FigureSection:
    """A section of the report.

    Attributes:
        name: of the file ``figures/<name>.png`` and of the section on the page.
        title: its heading, with {step} and {example} where the nouns of the runs belong (``wording.Nouns.told``).
        reading: how the figure is read, one paragraph for a reader who does not know it; likewise.
        draw: the static figure of so many panels in a row, for paper and where no script runs; None where nothing
            was measured, and then the whole section is left out.
        says: what the figure shows, computed from its numbers, a line for each cell.
        source: which files in the run folder the numbers come from, as in ``members/*/gradients.jsonl``.
    """

    name: str
    title: str
    reading: str
    draw: Callable[[SeedGroups, int], Figure | None]
    says: Callable[[SeedGroups], list[Said]]
    source: str
