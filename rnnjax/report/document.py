"""The frame of a page: head, headline, contents, sections and the facts of a run, in one file without links."""

import json
from html import escape
from typing import Any

from rnnjax.report.page_style import CSS
from rnnjax.report.sections.rendering import Section

MARK = '<meta name="generator" content="rnnjax {kind}">'
WITHOUT_SCRIPTS = "<noscript><style>.live { display: none; } .still { display: block; }</style></noscript>"


def document(
    kind: str, title: str, headline: str, top: str, sections: list[Section], end: str, scripts: str, css: str = ""
) -> str:
    """A whole HTML page.

    Args:
        kind: "report", "comparison" or "diagnosis", which the page's head names.
        title: short, above the headline and in the browser's tab.
        headline: what the page says, in one or two sentences.
        top: HTML between the headline and the first section.
        sections: in reading order; the contents name them.
        end: HTML after the last section.
        scripts: what draws the interactive figures, empty where there is none.
        css: what sections bring with them beyond the common style sheet.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{MARK.format(kind=kind)}
<title>{escape(title)}</title>
<style>{CSS}{css}</style>
{WITHOUT_SCRIPTS}
</head>
<body>
<main>
<header><p class="kicker">{escape(title)}</p><h1>{escape(headline)}</h1></header>
{top}
{_contents(sections)}
{"".join(section.html for section in sections)}
{end}
</main>
{scripts}
</body>
</html>
"""


def _contents(sections: list[Section]) -> str:
    links = "".join(f'<li><a href="#{section.name}">{escape(section.title)}</a></li>' for section in sections)
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>' if sections else ""


def notes(title: str, lines: list[str]) -> str:
    """A box of remarks, empty where there are none."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<aside><h2>{escape(title)}</h2><ul>{items}</ul></aside>" if lines else ""


def table(html: str, note: str, source: str) -> str:
    """A table that scrolls sideways where it is wider than the page, how it is read, and where its numbers are."""
    return (
        f'<div class="scroll">{html}</div><p class="note">{escape(note)}</p>'
        f'<p class="source">Numbers: <code>{escape(source)}</code>.</p>'
    )


def facts(title: str, known: dict[str, Any]) -> str:
    """Names and values as a list."""
    rows = "".join(f"<dt>{escape(str(name))}</dt><dd>{escape(fact(value))}</dd>" for name, value in known.items())
    return f"<h3>{escape(title)}</h3><dl>{rows}</dl>" if rows else ""


def fact(value: Any) -> str:
    """A value as a line of text: strings as they are, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
