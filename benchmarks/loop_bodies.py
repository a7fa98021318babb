"""What the body of a compiled loop consists of: scheduled bundles on a TPU, kernels on a GPU.

A TPU core executes the compiler's bundles (very long instruction words) in order, one a cycle where nothing waits for
memory. Bundles of the instructions in the body of a loop are therefore a lower bound of the cycles of one step. libtpu
writes them to files while it compiles. On a GPU every kernel is launched in every step.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from rnnjax.sharding.compiled_text import Instruction, code_keys, computations, loops
from rnnjax.sharding.targets import NO_TPU_HERE

SUFFIX = "-schedule-analysis_final_bundles.txt"
NO_KERNEL = {  # operations of a program for a GPU that launch nothing themselves
    "parameter", "constant", "tuple", "get-tuple-element", "bitcast", "call", "while", "conditional", "after-all",
    "add-dependency", "opt-barrier", "partition-id", "replica-id", "iota",
}  # fmt: skip


class LoopBody(NamedTuple):
    """The body of one loop.

    Attributes:
        backward: whether the loop belongs to a backward pass.
        count: of bundles or kernels.
        loops_inside: whether an instruction of a TPU is itself a loop over blocks of its operands, so that more bundles
            are executed than there are.
        instructions: each that counts -> its bundles, or 1 for a kernel; the largest first.
    """

    backward: bool
    count: int
    loops_inside: bool
    instructions: dict[str, int]


def write_bundles_to(folder: Path) -> None:
    """Make libtpu write the bundles of all that it compiles into ``folder``; before its first use in this process."""
    flags = (
        f"--xla_jf_dump_to={folder} --xla_jf_dump_llo_text=true --xla_jf_dump_llo_pass_label_regex=.*final_bundles.*"
    )
    os.environ["LIBTPU_INIT_ARGS"] = f"{os.environ.get('LIBTPU_INIT_ARGS', '')} {flags}".strip()
    os.environ.update(NO_TPU_HERE)


def loop_bundles(program_text: str, folder: Path) -> list[LoopBody]:
    """The loops of the program for a TPU that was compiled last; what libtpu has written about it is removed.

    Args:
        program_text: ``as_text()`` of the program.
        folder: that was given to ``write_bundles_to``.
    """
    keys, counts = code_keys(program_text), _take_bundles(folder)
    by_key = {keys[name]: count for name, count in counts.items() if name in keys}  # a file serves all that are alike
    found = []
    for loop in loops(program_text):
        body = {one.name: by_key[keys[one.name]] for one in loop.body if keys[one.name] in by_key}
        loops_inside = any(_iterations(one) > 1 for one in loop.body)
        found.append(_loop_body(loop.text, body, loops_inside=loops_inside))
    return found


def kernel_bundles(program_text: str, folder: Path, block: int) -> list[LoopBody]:
    """The Pallas kernels of the program for a TPU that was compiled last, as bundles of a step, rounded.

    Args:
        program_text: ``as_text()`` of the program.
        folder: that was given to ``write_bundles_to``.
        block: steps that a kernel computes at once.
    """
    counts = _take_bundles(folder)
    kernels = [
        one
        for listed in computations(program_text).values()
        for one in listed
        if 'custom_call_target="tpu_custom_call"' in one.text
    ]
    return [_loop_body(one.text, {one.name: round(counts[one.name] / block)}, loops_inside=False) for one in kernels]


def loop_kernels(program_text: str) -> list[LoopBody]:
    """The loops of a program for a GPU; kernels of a CUDA graph in the body are those of the body."""
    by_name = computations(program_text)

    def kernels(body: list[Instruction]) -> dict[str, int]:
        found = {one.name: 1 for one in body if one.opcode not in NO_KERNEL}
        for called in (re.search(r"to_apply=%?([\w.\-]+)", one.text) for one in body if one.opcode == "call"):
            found |= kernels(by_name[called[1]]) if called else {}
        return found

    return [_loop_body(loop.text, kernels(loop.body), loops_inside=False) for loop in loops(program_text)]


def _loop_body(loop: str, counts: dict[str, int], *, loops_inside: bool) -> LoopBody:
    largest_first = dict(sorted(counts.items(), key=lambda item: -item[1]))
    return LoopBody("transpose(" in loop, sum(counts.values()), loops_inside, largest_first)


def _take_bundles(folder: Path) -> dict[str, int]:
    """Instruction -> scheduled bundles, of every file in ``folder``; all files are removed."""
    found = {}
    for path in folder.iterdir():
        name = re.fullmatch(r"\d+-(.+)-\d+", path.name.removesuffix(SUFFIX))
        total = re.search(r"total scheduled bundles:\s+(\d+)", path.read_text())
        if path.name.endswith(SUFFIX) and name and total:
            found[name[1]] = int(total[1])
        path.unlink()
    return found


def _iterations(instruction: Instruction) -> int:
    """How often the compiled code of an instruction runs over a block of its operands."""
    bounds = re.search(r'"iteration_bounds":\[([^\]]*)\]', instruction.text)
    product = 1
    for number in re.findall(r"\d+", bounds[1]) if bounds else ():
        product *= int(number)
    return product
