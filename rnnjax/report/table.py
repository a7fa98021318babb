"""The numbers of a run as a table: for the terminal, for the page, and one row a member for a spreadsheet."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from rnnjax.report.run import Floats, Member, Run
from rnnjax.report.summary import (
    FEWEST,
    SHARE,
    Fade,
    Group,
    accuracy_by_distance,
    fades,
    groups,
    mean,
    member_fade,
    middle,
    open_from,
    results,
)
from rnnjax.report.summary import memory as memory_of
from rnnjax.report.wording import number, short_percent

NOTE = (
    "Half-life: words in which the gradient of what the cell remembers halves (∞: it does not fade). "
    "Reach: how many words back it still has 1% of its strength at the last word (≥: as far as was measured). "
    f"A distance counts as measured where at least {FEWEST} reviews and {SHARE:.0%} of the training batch are so long "
    f"(of a batch under {FEWEST}: all). "
    "Start and end: the first and the last logged step, with the parameters of that step; accuracies, in percent, are "
    "of the parameters that were best in validation. "
    "Of several seeds: the median (of two the lower) for half-life and reach, the mean otherwise; below it the lowest "
    "and highest."
)


@dataclass(frozen=True)
class Field:
    """One field of the table: its value, and below it the spread over the seeds."""

    value: str
    spread: str = ""


def header(labels: tuple[Group, ...]) -> list[str]:
    """Column titles; accuracy at the largest distance only where distances were measured."""
    farthest = _farthest(labels)
    at = [] if farthest is None else [f"accuracy at {number(farthest)} words"]
    fading = ["reach at start, words", "reach at end, words", "half-life at start, words", "half-life at end, words"]
    return ["cell", *at, "test accuracy", "validation accuracy", *fading, "parameters", "steps/s"]


def rows(labels: tuple[Group, ...]) -> list[list[Field]]:
    """One row a label, in the order of ``header``; a dash stands for what is not known (yet)."""
    farthest = _farthest(labels)
    return [_row(group, farthest) for group in labels]


def _row(group: Group, farthest: float | None) -> list[Field]:
    done, begun = len(group.finished), len(group.members)
    seeds = f"{begun} seed{'' if begun == 1 else 's'}" + (f", {done} finished" if done < begun else "")
    start, end = fades(group, "start"), fades(group, "end")
    at = [] if farthest is None else [_several(_at(group, farthest), mean, short_percent)]
    return [
        Field(group.label, seeds),
        *at,
        _several(results(group, lambda result: result.test_accuracy), mean, short_percent),
        _several(results(group, lambda result: result.validation_accuracy), mean, short_percent),
        *(_reaches(found) for found in (start, end)),
        *(_several(np.array([fade.half_life for fade in found], np.float64), middle, number) for found in (start, end)),
        Field(f"{group.members[0].parameters:,}"),
        _several(results(group, lambda result: result.steps_per_second), mean, number),
    ]


def _reaches(found: list[Fade]) -> Field:
    bound = open_from(found)
    reaches = np.array([fade.reach for fade in found], np.float64)
    return _several(reaches, middle, lambda reach: f"≥ {number(reach)}" if reach >= bound else number(reach))


def _several(values: Floats, reduce: Callable[[Floats], Floats], form: Callable[[float], str]) -> Field:
    """The seeds in one field; lowest and highest are left out where they read the same."""
    known = values[~np.isnan(values)]
    if not known.size:
        return Field("–")
    low, high = form(float(known.min())), form(float(known.max()))
    between = " to " if "≥" in high else "–"
    return Field(form(float(reduce(known))), "" if low == high else f"{low}{between}{high}")


def _farthest(labels: tuple[Group, ...]) -> float | None:
    measured = [found for group in labels if (found := accuracy_by_distance(group)) is not None]
    return max((float(distances[-1]) for distances, _ in measured), default=None)


def _at(group: Group, distance: float) -> Floats:
    found = accuracy_by_distance(group)
    if found is None or distance not in found[0]:
        return np.empty(0)
    return found[1][:, int(np.flatnonzero(found[0] == distance)[0])]


def rich_table(run: Run) -> Table:
    """The table for ``rich.print``, for 80 columns: start and end share a field, their spread is on the page."""
    labels = groups(run)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0, caption=NOTE, caption_justify="left")
    farthest = _farthest(labels)
    at = [] if farthest is None else [f"at {number(farthest)}\nwords"]
    titles = ["cell", *at, "test\naccuracy", "valida-\ntion", "reach\nstart→end", "half-life\nstart→end"]
    for place, title in enumerate([*titles, "para-\nmeters", "steps/s"]):
        table.add_column(Text(title), justify="right" if place else "left", overflow="fold")
    for row in rows(labels):
        scores, fading, rest = row[:-6], row[-6:-2], row[-2:]
        joined = [Field(f"{start.value} → {end.value}".replace("≥ ", "≥")) for start, end in (fading[:2], fading[2:])]
        table.add_row(*(_two_lines(field) for field in (*scores, *joined, *rest)))
    return table


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
    records = [_record(member, _farthest(groups(run))) for member in run.members]
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
    for when, fade in (("start", member_fade(member, "start")), ("end", member_fade(member, "end"))):
        record[f"half_life_{when}"] = "" if fade is None else _plain(fade.half_life)
        record[f"reach_{when}"] = "" if fade is None else _plain(fade.reach)
        record[f"farthest_lag_{when}"] = "" if fade is None or fade.trouble else _plain(fade.farthest)
    names = ("validation_accuracy", "test_accuracy", "test_loss", "best_step")
    for name in (*names, "seconds", "steps_per_second", "compile_seconds"):
        record[name] = "" if member.result is None else _plain(getattr(member.result, name))
    at = _at(Group(member.label, (member,)), farthest) if farthest is not None else np.empty(0)
    return record | {"farthest_distance": _plain(farthest), "accuracy_at_farthest": _plain(at[0] if at.size else None)}


def _plain(value: float | None) -> str:
    """A number as Python writes it back exactly; nothing for NaN and None."""
    if value is None or np.isnan(value):
        return ""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
