"""Fixed and slow points on the page and in the terminal: the figure, and a table of how many each network has."""

from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from rnnjax.formatting import number
from rnnjax.report import document
from rnnjax.report.figures.fixed_points import fixed_points
from rnnjax.report.sections.figure_section import FigureSection
from rnnjax.report.sections.rendering import Section, drawn_sections, section
from rnnjax.report.summary.fixed_points import group_searches, point_counts
from rnnjax.report.summary.seed_groups import SeedGroups, seed_groups
from rnnjax.report.text.fixed_points import fixed_point_captions
from rnnjax.runs.run_record import Run

SOURCE = "members/*/diagnosis-end.json"
FIXED_POINTS = FigureSection(
    "fixed_points",
    "Where the network comes to rest without input",
    "A fixed point is a state that a step without input (zeros) leaves where it is. After a small change the state "
    "returns to a stable point; from a saddle it moves away along the unstable directions, those in which the step "
    "Jacobian has an eigenvalue of modulus above 1; at a slow point it stays nearly where it is (Sussillo & Barak "
    "2013). The lines are the states along held-out {examples}, and the axes the principal axes of these states. The "
    "points were searched for after training, from visited states with a little noise; a search can miss points. Of "
    "several seeds the lowest is drawn.",
    fixed_points,
    fixed_point_captions,
    SOURCE,
)
TABLE_NAME, TABLE_TITLE = "fixed_points_table", "How many points each network has"
TABLE_READING = (
    "Fixed points by the number of their unstable directions, and slow points. Of the candidates from which the search "
    "began, those are left out that ended far from all visited states, at neither a fixed nor a slow point, or at no "
    "finite state."
)
MOST_DIRECTIONS = 3  # numbers of unstable directions that have a column of their own


def table_rows(groups: SeedGroups) -> list[list[str]]:
    """The table, its header first; empty where no points were searched for."""
    searches = [(group.label, seed, search) for group in groups for seed, search in group_searches(group)]
    if not searches:
        return []
    counts = [point_counts(search) for *_, search in searches]
    most = max((directions for saddles in counts for directions in saddles.saddles), default=1)
    columns = range(1, min(most, MOST_DIRECTIONS) + 1)
    header = ["cell, seed", "stable", *(f"{k} unstable direction{'' if k == 1 else 's'}" for k in columns)]
    header += [f"over {MOST_DIRECTIONS}"] if most > MOST_DIRECTIONS else []
    rows = []
    for (label, seed, search), count in zip(searches, counts, strict=True):
        saddles = [count.saddles.get(k, 0) for k in columns]
        saddles += [count.all_saddles - sum(saddles)] if most > MOST_DIRECTIONS else []
        left_out = search.not_finite + search.far + search.fast
        numbers = (count.stable, *saddles, count.slow, search.candidates, left_out)
        rows.append([f"{label}, seed {seed}", *map(number, numbers)])
    return [[*header, "slow", "candidates", "left out"], *rows]


def sections(groups: SeedGroups, folder: Path) -> list[Section]:
    """The figure and the table; none where no points were searched for."""
    drawn = drawn_sections((FIXED_POINTS,), groups, {}, folder)
    header, *rows = table_rows(groups) or [[]]
    table = [section(TABLE_NAME, TABLE_TITLE, document.table(header, rows, source=SOURCE), TABLE_READING)]
    return [*drawn, *(table if rows else [])]


def rich_fixed_points(run: Run) -> Table | None:
    """The table for the terminal."""
    header, *rows = table_rows(seed_groups(run)) or [[]]
    if not rows:
        return None
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, title=f"Without input: {TABLE_TITLE.lower()}", title_justify="left",
        caption=TABLE_READING, caption_justify="left",
    )  # fmt: skip
    for index, title in enumerate(header):
        table.add_column(title, justify="right" if index else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table
