"""Sections of a page: figures, interactive on screen and static on paper or without scripts, and other sections."""

import base64
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from rnnjax.regular_files import check_no_link
from rnnjax.report.figures import style
from rnnjax.report.html import render
from rnnjax.report.sections.figure_section import FigureSection
from rnnjax.report.summary.seed_groups import SeedGroups
from rnnjax.report.summary.task import nouns_of
from rnnjax.runs.json_io import write_bytes

if TYPE_CHECKING:
    from rnnjax.report.interactive.embed import EmbeddedFigure  # a page without interactive figures needs no bokeh


@dataclass(frozen=True)
class Section:
    """A section of a page: its anchor, its heading, and all of it as HTML."""

    name: str
    title: str
    html: Markup


def section(name: str, title: str, body: Markup, reading: str = "") -> Section:
    """A section with its heading and, above ``body``, a paragraph on how it is read."""
    return Section(name, title, render("section", name=name, title=title, reading=reading, body=body))


def drawn_sections(
    figures: tuple[FigureSection, ...],
    groups: SeedGroups,
    interactive: "dict[str, EmbeddedFigure]",
    folder: Path | None,
) -> list[Section]:
    """The sections of those figures that have something to show.

    Args:
        figures: in reading order.
        groups: the cells to show.
        interactive: the interactive figures by name; the static figure of these is embedded in one width, for paper.
        folder: where ``<name>.png`` of each figure is written, and removed if there is nothing to show any more;
            None: no files are written.
    """
    sections, nouns = [], nouns_of(groups)
    for figure in figures:
        figure = replace(figure, title=nouns.fill_template(figure.title), reading=nouns.fill_template(figure.reading))
        wide = _png(figure, groups, style.WIDE)
        if folder is not None:
            write_or_remove(folder / f"{figure.name}.png", wide)
        if wide is None:
            continue
        live = interactive.get(figure.name)
        narrow = None if live else _png(figure, groups, style.NARROW)
        captions = figure.captions(groups)
        body = figure_html(
            figure.title,
            wide,
            narrow,
            alt=" ".join(f"{caption.label}: {caption.text}" for caption in captions),
            live=live,
            captions=captions,
            colours={c.label: style.INK for c in captions} | style.colours([group.label for group in groups]),
            source=figure.source,
            file="" if folder is None else f"{folder.name}/{figure.name}.png",
        )
        sections.append(section(figure.name, figure.title, body, figure.reading))
    return sections


def figure_html(title: str, wide: bytes, narrow: bytes | None, **values: object) -> Markup:
    """A figure as PNG for wide and, if given, for narrow windows; ``values`` as in ``figure.html.jinja``."""
    defaults: dict[str, object] = {"alt": "", "live": None, "captions": (), "colours": {}, "source": "", "file": ""}
    uris = {"wide": _data_uri(wide), "narrow": _data_uri(narrow) if narrow else ""}
    return render("figure", title=title, **(defaults | uris | values))


def write_or_remove(file: Path, png: bytes | None) -> None:
    """Write a PNG file, its folder too where there is none; remove it where there is nothing to show."""
    check_no_link(file.parent)
    if png is None:
        file.unlink(missing_ok=True)
    else:
        file.parent.mkdir(exist_ok=True)
        write_bytes(file, png)


def _png(figure: FigureSection, groups: SeedGroups, columns: int) -> bytes | None:
    drawing = figure.draw(groups, columns)
    return None if drawing is None else style.png(drawing)


def _data_uri(png: bytes) -> str:
    """A PNG file as an address that contains it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
