"""What a compiled program consists of, read from the text that ``Compiled.as_text()`` gives."""

import functools
import math
import re
from typing import NamedTuple

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")
FROM_HOST = {"infeed", "outfeed", "send", "recv"}
NAME = re.compile(r"%([\w.\-]+)")


class Instruction(NamedTuple):
    """One instruction of a compiled program."""

    name: str
    opcode: str
    result: str  # its type, with the layout
    text: str  # the whole line

    @property
    def result_bytes(self) -> int:
        """Bytes of all arrays of the result, without padding."""
        arrays = re.findall(r"\b(pred|[a-z]+(\d+)\w*)\[([\d,]*)\]", self.result)
        return sum(
            max(1, int(bits or 8) // 8) * math.prod(map(int, filter(None, shape.split(","))))
            for _, bits, shape in arrays
        )


def computations(program_text: str) -> dict[str, list[Instruction]]:
    """The instructions of each computation of a compiled program, from ``Compiled.as_text()``."""
    found: dict[str, list[Instruction]] = {}
    current: list[Instruction] | None = None
    for line in program_text.splitlines():
        if head := re.match(r"(?:ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{", line):
            current = found.setdefault(head[1], [])
        elif (match := re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\(", line)) and current is not None:
            current.append(Instruction(match[1], match[3], match[2], line.strip()))
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


def collectives(program_text: str) -> list[Instruction]:
    """All operations by which devices communicate.

    One that a TPU runs beside other work is written three times: its beginning and its end in a ``fused_computation``,
    which are left out here, and the rest in an ``async_collective_fusion``.
    """
    by_name = computations(program_text).items()
    found = [one for name, listed in by_name if not name.startswith("fused_computation") for one in listed]
    return [one for one in found if one.opcode.removesuffix("-start") in COLLECTIVES]


def host_calls(program_text: str) -> list[Instruction]:
    """All operations that transfer data from or to the host, or call a function there, while the program runs."""
    found = [one for listed in computations(program_text).values() for one in listed]
    return [
        one
        for one in found
        if one.opcode.removesuffix("-done") in FROM_HOST
        or (
            one.opcode == "custom-call" and "callback" in one.text.partition("custom_call_target=")[2].partition(",")[0]
        )
    ]


def reused_arguments(program_text: str) -> int:
    """Arrays of the results that take the memory of an argument."""
    head = program_text.partition("\n")[0]
    return len(re.findall(r"\{[\d, ]*\}: \(\d+, \{[\d, ]*\}, (?:may|must)-alias\)", head))


def code_keys(program_text: str) -> dict[str, str]:
    """The name of each instruction -> a text that instructions share which compute the same from operands alike.

    A compiler can make the code of such instructions once. Names, and what is known of the source, make no difference;
    shapes, layouts and memory spaces of results and operands do.
    """
    by_name = computations(program_text)

    @functools.cache
    def computation_key(name: str) -> str:
        order: dict[str, int] = {}

        def anonymous(match: re.Match[str]) -> str:
            return computation_key(match[1]) if match[1] in by_name else f"%{order.setdefault(match[1], len(order))}"

        return "{" + "; ".join(NAME.sub(anonymous, _without_notes(one.text)) for one in by_name[name]) + "}"

    def instruction_key(one: Instruction, results: dict[str, str]) -> str:
        def operand(match: re.Match[str]) -> str:
            return computation_key(match[1]) if match[1] in by_name else results.get(match[1], "%")

        return NAME.sub(operand, _without_notes(one.text).partition(" = ")[2])

    keys: dict[str, str] = {}
    for listed in by_name.values():
        results = {one.name: one.result for one in listed}
        keys |= {one.name: instruction_key(one, results) for one in listed}
    return keys


def _without_notes(line: str) -> str:
    """A line without comments, metadata and the compiler's notes to itself."""
    return re.sub(r"/\*.*?\*/|, (?:metadata|backend_config)=.*", "", line)
