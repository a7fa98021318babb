"""Pictures become sections of a page: on screen the interactive figure, on paper and without scripts the static one."""

import base64
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from rnnjax.report.figures import style
from rnnjax.report.sections.figure_section import FigureSection, SeedGroups
from rnnjax.report.summary.task import nouns_of
from rnnjax.runs.json_io import write_bytes

if TYPE_CHECKING:
    from rnnjax.report.interactive.embed import (
        Embedded,  # a page without interactive figures need not wait for bokeh
    )


@dataclass(frozen=True)
class Section:
    """A section of a page: the anchor to link to, its heading, and all of it as HTML."""

    name: str
    title: str
    html: str


def drawn_sections(
    pictures: tuple[FigureSection, ...], labels: SeedGroups, live: dict[str, "Embedded"], figures: Path | None
) -> list[Section]:
    """The sections of those pictures that have something to show.

    Args:
        pictures: in reading order.
        labels: the cells to show.
        live: the interactive figures by name; of these the page holds the static figure in one width, for paper.
        figures: folder for ``<name>.png`` of each picture, where a file of an earlier report is removed if there is
            nothing to show now; None: no files.
    """
    sections, nouns = [], nouns_of(labels)
    for picture in pictures:
        picture = replace(
            picture, title=nouns.fill_template(picture.title), reading=nouns.fill_template(picture.reading)
        )
        wide = _drawn(picture, labels, style.WIDE)
        if figures is not None:
            _keep(figures / f"{picture.name}.png", wide)
        if wide is None:
            continue
        shown = live.get(picture.name)
        narrow = None if shown else _drawn(picture, labels, style.NARROW)
        where = f"Numbers: <code>{escape(picture.source)}</code>."
        where += "" if figures is None else f" Picture: <code>{figures.name}/{picture.name}.png</code>."
        html = _section(picture, labels, _still(picture, labels, wide, narrow), shown, where)
        sections.append(Section(picture.name, picture.title, html))
    return sections


def _keep(file: Path, png: bytes | None) -> None:
    if png is None:
        file.unlink(missing_ok=True)
    else:
        file.parent.mkdir(exist_ok=True)
        write_bytes(file, png)


def _drawn(picture: FigureSection, labels: SeedGroups, columns: int) -> bytes | None:
    figure = picture.draw(labels, columns)
    return None if figure is None else style.png(figure)


def _section(picture: FigureSection, labels: SeedGroups, still: str, live: "Embedded | None", where: str) -> str:
    colour = style.colours([group.label for group in labels])
    lines = "".join(
        f'<li style="--mark:{colour[label]}"><b>{escape(label)}</b> {escape(text)}</li>'
        for label, text in picture.says(labels)
    )
    both = f'{_live(picture.title, live)}<div class="still">{still}</div>' if live else still
    return f"""<section id="{picture.name}">
<h2>{escape(picture.title)}</h2>
<p class="reading">{escape(picture.reading)}</p>
<figure>{both}
<figcaption><ul>{lines}</ul></figcaption></figure>
<p class="source">{where}</p>
</section>"""


def _still(picture: FigureSection, labels: SeedGroups, wide: bytes, narrow: bytes | None) -> str:
    source = f'<source media="(max-width: 700px)" srcset="{png_uri(narrow)}">' if narrow else ""
    words = escape(" ".join(f"{label}: {text}" for label, text in picture.says(labels)))
    return f'<picture>{source}<img src="{png_uri(wide)}" alt="{words}"></picture>'


def _live(title: str, live: "Embedded") -> str:
    parts = "".join(f"<div>{part}</div>" for part in live.parts)
    grid = "parts pairs" if len(live.parts) in (2, 4) else "parts"
    return (
        f'<div class="live" role="group" aria-label="{escape(title)}"><p class="hint">{escape(live.hint)}</p>'
        f'<div class="{grid}">{parts}</div></div>'
    )


def png_uri(png: bytes) -> str:
    """A PNG file as an address that holds it whole."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
