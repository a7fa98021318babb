"""The description of one figure of a page: how it is drawn, read and captioned, and where its numbers are from."""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from rnnjax.report.summary.seed_groups import SeedGroups
from rnnjax.report.text.headline import Caption


@dataclass(frozen=True)
class FigureSection:
    """A figure with its section of the page.

    Attributes:
        name: of the file ``figures/<name>.png`` and of the section's anchor.
        title: its heading, with fields such as {step} and {example} for the nouns of the run
            (see ``rnnjax.formatting.Nouns``).
        reading: one paragraph on how the figure is read, with the same fields.
        draw: the static figure with a number of panels per row; None where nothing was measured, in which case the
            section is left out.
        captions: what the figure shows of each cell, computed from its numbers.
        source: the files of the run folder that the numbers are from, as in ``members/*/gradients.jsonl``.
    """

    name: str
    title: str
    reading: str
    draw: Callable[[SeedGroups, int], Figure | None]
    captions: Callable[[SeedGroups], list[Caption]]
    source: str
