"""The pages of the repository as Markdown: their code blocks, links and headings."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SITE_PAGES = sorted(DOCS.rglob("*.md"))
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *SITE_PAGES]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    """A fenced block of code."""

    language: str
    code: str
    line: int  # number of its first line, from 1
    output: str | None  # content of a text block that follows with nothing between


def page_name(page):
    return page.relative_to(ROOT).as_posix()


def read(page):
    return page.read_text(encoding="utf-8")


def blocks(page, language):
    """The blocks of one language, in order."""
    text = read(page)
    fences = list(FENCE.finditer(text))
    for index, match in enumerate(fences):
        if match[1] != language:
            continue
        following = fences[index + 1] if index + 1 < len(fences) else None
        has_output = (
            following is not None and following[1] == "text" and not text[match.end() : following.start()].strip()
        )
        line = text[: match.start(2)].count("\n") + 1
        yield Block(match[1], match[2], line, following[2] if has_output else None)


def prose(page):
    """The page without code blocks and inline code."""
    return re.sub(r"`[^`\n]+`", "", FENCE.sub("", read(page)))


def links(page):
    """Relative targets of links and images."""
    return re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", prose(page))


def anchors(page):
    """The anchors of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", read(page)), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
