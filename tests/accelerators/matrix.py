"""Prints which program compiled for which device, and with how much memory, as tables in Markdown.

nox -s tpu -- --junitxml=tpu.xml && nox -s cuda -- --junitxml=cuda.xml
python tests/accelerators/matrix.py tpu.xml cuda.xml
"""

import sys
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

MIB = 2**20
HEAD = "| command | program | compiling | arguments | temporary |\n|---|---|---:|---:|---:|"


class CompiledProgram(NamedTuple):
    """One row, as a test has recorded it."""

    device: str
    layout: str
    command: str
    program: str
    seconds: float
    arguments: int  # bytes, as all that follows
    temporary: int


def recorded(path):
    """The programs in a file that pytest has written with --junitxml."""
    for case in ElementTree.parse(path).iter("testcase"):
        found = {p.get("name"): p.get("value") for p in case.iter("property")}
        if "device" in found and case.find("failure") is None:
            yield CompiledProgram(*[kind(found[name]) for name, kind in CompiledProgram.__annotations__.items()])


def tables(programs):
    """A table for each kind of device and each way of dividing programs over it."""
    parts = dict.fromkeys((one.device, one.layout) for one in programs)
    for device, layout in parts:
        rows = [one for one in programs if (one.device, one.layout) == (device, layout)]
        divided = f", `--parallel {layout}`" if layout != "jit" else ""
        lines = [
            f"| `{one.command}` | {one.program} | {one.seconds:.1f} s | {one.arguments / MIB:.1f} MiB "
            f"| {one.temporary / MIB:.1f} MiB |"
            for one in rows
        ]
        yield "\n".join([f"**{device}**{divided}\n", HEAD, *lines])


if __name__ == "__main__":
    newest = {one[:4]: one for path in sys.argv[1:] for one in recorded(Path(path))}
    print("\n\n".join(tables(newest.values())))
