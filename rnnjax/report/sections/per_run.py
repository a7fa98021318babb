"""The folded table of all runs of a study, one row for each, behind the means and intervals over the seeds."""

import numpy as np
from markupsafe import Markup

from rnnjax.formatting import number, short_percent
from rnnjax.report import document
from rnnjax.report.html import render
from rnnjax.report.summary.diagnosis import diagnosed, layer_values
from rnnjax.report.summary.gradient_decay import member_decay
from rnnjax.report.summary.seed_groups import SeedGroup, SeedGroups
from rnnjax.report.summary.task import curve_split, nouns_of
from rnnjax.report.tables.export import swept_names
from rnnjax.report.tables.fields import Score, first_title, scores
from rnnjax.runs.run_record import Run, RunRecord

TITLE = "Every run"


def html(run: Run, groups: SeedGroups) -> Markup:
    """One row for each run; empty where each label has one run and nothing is swept."""
    swept = swept_names(run)
    if len(run.members) == len(groups) and not swept:
        return Markup()
    belt, best = bool(diagnosed(groups)), curve_split(groups) == "validation"
    columns = scores(groups)
    fixed = [
        *(column.title for column in columns),
        *(["best step"] if best else []),
        f"half-life at end, {nouns_of(groups).steps}",
    ]
    header = [first_title(groups), *swept, "seed", *fixed, *(["belt share at end"] if belt else []), "status"]
    rows = [_row(member, swept, columns, belt, best) for group in groups for member in group.members]
    return render("every_run", title=TITLE, count=len(run.members), table=document.table(header, rows))


def _row(member: RunRecord, swept: tuple[str, ...], columns: list[Score], belt: bool, best: bool) -> list[str]:
    result, decay = member.result, member_decay(member, "end")
    single = SeedGroup(member.label, (member,))
    shares = layer_values(single, "end", "belt_share")
    return [
        member.label,
        *(str(member.varied.get(name, "–")) for name in swept),
        str(member.seed),
        *(column.field(single).value for column in columns),
        *(["–" if result is None or result.best_step is None else f"{result.best_step:,}"] if best else []),
        number(np.nan if decay is None else decay.half_life),
        *([short_percent(shares[0] if len(shares) else np.nan)] if belt else []),
        member.status,
    ]
