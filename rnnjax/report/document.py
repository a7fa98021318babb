"""The frame of an HTML page, and the parts that all pages share: notes, tables and lists of facts."""

import json
from collections.abc import Iterable, Sequence

from markupsafe import Markup

from rnnjax.report.html import render
from rnnjax.report.sections.rendering import Section
from rnnjax.report.tables.fields import Field
from rnnjax.typing import JSONObject, JSONValue

MARK = '<meta name="generator" content="rnnjax {kind}">'  # as page.html.jinja has it
NO_HTML = Markup()


def document(
    *,
    kind: str,
    title: str,
    headline: str,
    top: Markup = NO_HTML,
    lead: Sequence[Section] = (),
    alarms: Markup = NO_HTML,
    sections: Sequence[Section] = (),
    end: Markup = NO_HTML,
    scripts: Markup = NO_HTML,
) -> str:
    """A complete HTML page without external links.

    Args:
        kind: "report", "comparison" or "diagnosis", for the page's head.
        title: short, above the headline and in the browser's tab.
        headline: the result, in one or two sentences.
        top: what stands between the headline and the first section.
        lead: the sections before the alarms.
        alarms: the box of alarms.
        sections: the sections after the alarms, in reading order; the contents list them after those of ``lead``.
        end: what stands after the last section.
        scripts: the scripts of the interactive figures.
    """
    return render(
        "page",
        kind=kind,
        title=title,
        headline=headline,
        top=top,
        lead=lead,
        alarms=alarms,
        contents=[*lead, *sections],
        sections=sections,
        end=end,
        scripts=scripts,
    )


def notes(title: str, lines: Sequence[str]) -> Markup:
    """A box with a list of remarks; empty without any."""
    return render("notes", title=title, lines=lines) if lines else NO_HTML


def table(
    header: Iterable[str | Field],
    rows: Iterable[Iterable[str | Field]],
    *,
    legend: str = "",
    note: str = "",
    source: str = "",
) -> Markup:
    """A table that scrolls sideways where it is wider than the page.

    Args:
        header: the titles of the columns.
        rows: the first field of each is its heading.
        legend: how the table is read, folded.
        note: a remark below the table.
        source: the files that its numbers are from.
    """
    return render("table", header=header, rows=rows, legend=legend, note=note, source=source)


def facts(title: str, values: JSONObject) -> Markup:
    """Names and values as a list; empty without any."""
    return (
        render("facts", title=title, facts={name: fact(value) for name, value in values.items()}) if values else NO_HTML
    )


def fact(value: JSONValue) -> str:
    """A value as a line of text: strings as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
