"""Every run of a study in a table to unfold: what mean and interval over the seeds are made of."""

from html import escape

import numpy as np

from rnnjax.formatting import number, short_percent
from rnnjax.report.summary.diagnosis import diagnosed, numbers
from rnnjax.report.summary.seed_groups import SeedGroup, member_fade
from rnnjax.report.summary.task import nouns_of
from rnnjax.report.tables.export import swept_names
from rnnjax.report.tables.fields import Score, scores
from rnnjax.runs.run_record import Run, RunRecord

TITLE = "Every run"
CSS = """
details { margin: 1rem 0; }
summary { cursor: pointer; font-weight: 600; }
details .scroll { margin-top: .5rem; }
"""


def html(run: Run, labels: tuple[SeedGroup, ...]) -> str:
    """One row a run, everything in it escaped; empty where each label has one run and nothing is swept."""
    swept = swept_names(run)
    if len(run.members) == len(labels) and not swept:
        return ""
    belt = bool(diagnosed(labels))
    columns = scores(labels)
    fixed = [*(one.title for one in columns), "best step", f"half-life at end, {nouns_of(labels).steps}"]
    titles = ["cell", *swept, "seed", *fixed, *(["belt share at end"] if belt else []), "status"]
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    rows = (_row(member, swept, columns, belt) for group in labels for member in group.members)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(value)}</td>" for value in rest)}</tr>'
        for first, *rest in rows
    )
    return (
        f'<details id="every_run"><summary>{TITLE} ({len(run.members)})</summary><div class="scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        '<p class="source">Numbers: <code>table.csv</code>, with exact types <code>table.parquet</code>.</p></details>'
    )


def _row(member: RunRecord, swept: tuple[str, ...], columns: list[Score], belt: bool) -> list[str]:
    result, fade = member.result, member_fade(member, "end")
    alone = SeedGroup(member.label, (member,))
    shares = numbers(alone, "end", "belt_share")
    return [
        member.label,
        *(str(member.varied.get(name, "–")) for name in swept),
        str(member.seed),
        *(column.field(alone).value for column in columns),
        "–" if result is None else f"{result.best_step:,}",
        number(np.nan if fade is None else fade.half_life),
        *([short_percent(shares[0] if len(shares) else np.nan)] if belt else []),
        member.status,
    ]
