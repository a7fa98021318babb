"""The terminal: text of others is printed with its control characters escaped, so that it cannot act on it."""

import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

# control characters but tab and line feed, half surrogate pairs, and marks that break lines or reorder text
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""``text`` with control characters, half surrogate pairs and marks that reorder text as escapes, as in "\x1b"."""
    return HARMFUL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str) -> str:
    r"""``printable``, with line feeds and tabs as escapes too."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


class Terminal(Console):
    """A console that prints no text of others raw: everything but its own styles and cursor movements is ``printable``.

    The options are those of Rich's console.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of a renderable, none of whose texts moves the cursor."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
