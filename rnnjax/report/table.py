"""The numbers of a run as a table: for the terminal, for the page, and one row a member for a spreadsheet."""

import csv
import io
from html import escape

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from rnnjax.report.diagnosis_summary import diagnosed, numbers
from rnnjax.report.member import MOMENTS, Member
from rnnjax.report.run import Run
from rnnjax.report.summary import FEWEST, SHARE, Group, groups, member_fade
from rnnjax.report.summary import memory as memory_of
from rnnjax.report.table_fields import Field, accuracy_at, farthest_of, header, rows
from rnnjax.report.wording import number

NOTE = (
    "Half-life: words in which the gradient of what the cell remembers halves (∞: it does not fade). "
    "Reach: how many words back it still has 1% of its strength at the last word (≥: as far as was measured). "
    f"A distance counts as measured where at least {FEWEST} reviews and {SHARE:.0%} of the training batch are so long "
    f"(of a batch under {FEWEST}: all). "
    "Start and end: the first and the last logged step, with the parameters of that step; accuracies, in percent, are "
    "of the parameters that were best in validation. "
    "Of several seeds: the median (of two the lower) for half-life and reach, the mean otherwise; below it the lowest "
    "and highest, or in square brackets the 95% interval of the mean (Student's t) where every seed has a number."
)
BELT_NOTE = (
    " Belt share: the part of the gradient that came down the conveyor belt, in percent, averaged over all words back; "
    "of held-out reviews, before training and with the parameters that were best in validation."
)


def note(labels: tuple[Group, ...]) -> str:
    """How the table is read."""
    return NOTE + (BELT_NOTE if diagnosed(labels) else "")


def rich_table(run: Run) -> Table:
    """The table for ``rich.print``, for 120 columns: start and end share a field; a reach's spread is on the page."""
    labels = groups(run)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0, caption=note(labels), caption_justify="left")
    farthest = farthest_of(labels)
    at = [] if farthest is None else [f"at {number(farthest)}\nwords"]
    belt = ["belt share\nstart→end"] if diagnosed(labels) else []
    titles = ["cell", *at, "test\naccuracy", "valida-\ntion", "reach\nstart→end", "half-life\nstart→end", *belt]
    for place, title in enumerate([*titles, "para-\nmeters", "steps/s"]):
        table.add_column(Text(title), justify="right" if place else "left", overflow="fold")
    for row in rows(labels):
        before = len(row) - 2 - 2 * (2 + len(belt))
        reach, *spread = (_joined(*row[place : place + 2]) for place in range(before, len(row) - 2, 2))
        fields = (*row[:before], Field(reach.value), *spread, *row[-2:])
        table.add_row(*(_two_lines(field) for field in fields))
    return table


def _joined(start: Field, end: Field) -> Field:
    """Start and end in one field: "6.4 → 6.7", below it their spreads where either has one."""
    spread = f"{start.spread or start.value} → {end.spread or end.value}" if start.spread or end.spread else ""
    return Field(f"{start.value} → {end.value}".replace("≥ ", "≥"), spread)


def _two_lines(field: Field) -> Text:
    text = Text(field.value)
    return text.append(f"\n{field.spread}", style="dim") if field.spread else text


def html_table(run: Run) -> str:
    """The table as HTML, everything in it escaped."""
    labels = groups(run)
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in header(labels))
    body = "".join(
        f"<tr>{''.join(_html_field(place, field) for place, field in enumerate(row))}</tr>" for row in rows(labels)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_field(place: int, field: Field) -> str:
    spread = f"<small>{escape(field.spread)}</small>" if field.spread else ""
    tag, scope = ("th", ' scope="row"') if place == 0 else ("td", "")
    return f"<{tag}{scope}>{escape(field.value)}{spread}</{tag}>"


def csv_text(run: Run) -> str:
    """One row a member, tidy: fractions and plain numbers, an empty field for what is not known."""
    out = io.StringIO()
    records = [_record(member, farthest_of(groups(run))) for member in run.members]
    titles = list(records[0]) if records else ["label"]
    writer = csv.DictWriter(out, titles, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return out.getvalue()


def _record(member: Member, farthest: float | None) -> dict[str, str | int | float]:
    record: dict[str, str | int | float] = {
        name: getattr(member, name) for name in ("label", "cell", "seed", "parameters", "steps")
    }
    record |= {"finished": int(member.result is not None), "memory_state": memory_of(member)[1]}
    for when in MOMENTS:
        fade = member_fade(member, when)
        record[f"half_life_{when}"] = "" if fade is None else _plain(fade.half_life)
        record[f"reach_{when}"] = "" if fade is None else _plain(fade.reach)
        record[f"farthest_lag_{when}"] = "" if fade is None or fade.trouble else _plain(fade.farthest)
        shares = numbers(Group(member.label, (member,)), when, "belt_share")
        record[f"belt_share_{when}"] = _plain(shares[0]) if len(shares) else ""
    names = ("validation_accuracy", "test_accuracy", "test_loss", "best_step")
    for name in (*names, "seconds", "steps_per_second", "compile_seconds"):
        record[name] = "" if member.result is None else _plain(getattr(member.result, name))
    at = accuracy_at(Group(member.label, (member,)), farthest) if farthest is not None else np.empty(0)
    return record | {"farthest_distance": _plain(farthest), "accuracy_at_farthest": _plain(at[0] if at.size else None)}


def _plain(value: float | None) -> str:
    """A number as Python writes it back exactly; nothing for NaN and None."""
    if value is None or np.isnan(value):
        return ""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
