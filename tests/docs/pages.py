"""The pages of the README and of docs/ as Markdown: their blocks, links and headings."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    """A fenced block of code."""

    language: str
    code: str
    line: int  # of its first line, from 1
    output: str | None  # of a text block that follows with nothing between


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def read(page):
    return page.read_text(encoding="utf-8")


def blocks(page, language):
    """The blocks of one language, in order."""
    text = read(page)
    found = list(FENCE.finditer(text))
    for place, match in enumerate(found):
        if match[1] != language:
            continue
        after = found[place + 1] if place + 1 < len(found) else None
        follows = after is not None and after[1] == "text" and not text[match.end() : after.start()].strip()
        yield Block(match[1], match[2], text[: match.start(2)].count("\n") + 1, after[2] if follows else None)


def prose(page):
    """The page without its blocks of code and without code in lines."""
    return re.sub(r"`[^`\n]+`", "", FENCE.sub("", read(page)))


def links(page):
    """Targets of links and images that are no addresses of the web."""
    return re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", prose(page))


def anchors(page):
    """The anchors of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", read(page)), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
