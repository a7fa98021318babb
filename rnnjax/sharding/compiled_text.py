"""What a compiled program consists of, read from the text that ``Compiled.as_text()`` gives."""

import re
from typing import NamedTuple


class Instruction(NamedTuple):
    """One instruction of a compiled program."""

    name: str
    opcode: str
    text: str  # the whole line


def computations(program_text: str) -> dict[str, list[Instruction]]:
    """The instructions of each computation of a compiled program, from ``Compiled.as_text()``."""
    found: dict[str, list[Instruction]] = {}
    current: list[Instruction] | None = None
    for line in program_text.splitlines():
        if head := re.match(r"(?:ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{", line):
            current = found.setdefault(head[1], [])
        elif (match := re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = .*? ([a-z][\w\-]*)\(", line)) and current is not None:
            current.append(Instruction(match[1], match[2], line.strip()))
    return found


class Loop(NamedTuple):
    """A loop of a compiled program."""

    body: list[Instruction]
    text: str  # the line of the loop itself, with the name of the operation that it comes from


def loops(program_text: str) -> list[Loop]:
    """All loops, in the order in which the compiler writes them."""
    by_name = computations(program_text)
    found = []
    for instruction in (one for listed in by_name.values() for one in listed if one.opcode == "while"):
        body = re.search(r"body=%?([\w.\-]+)", instruction.text)
        assert body is not None
        found.append(Loop(by_name[body[1]], instruction.text))
    return found
