"""``python -m benchmarks.ahead_of_time``: what a step of a layer consists of on a TPU or GPU: compiled, not timed.

It needs no accelerator, only the compiler for one: pip install "jax[tpu]" or "jax[cuda12]", of the jax in use and
best in an environment of its own, since they cannot be installed beside each other.
"""

import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import jax
import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.cases import Case, CellName
from benchmarks.layer import SIZES
from benchmarks.layer_programs import PASSES, Library, Pass, Reads, layer_program
from benchmarks.loop_bodies import LoopBody, kernel_bundles, loop_bundles, loop_kernels, write_bundles_to
from benchmarks.machine import versions
from benchmarks.peers import ALL
from benchmarks.peers.ours import CELLS
from rnnjax.core.pallas.vmem import steps_of_block
from rnnjax.sharding.ahead_of_time import compile_for_device, memory_use
from rnnjax.sharding.targets import TARGETS

READS: dict[Reads, str] = {"last": "h_T", "all": "all h_t"}  # what the loss reads


@dataclasses.dataclass(frozen=True)
class AheadOfTime:
    """Compile one recurrent layer for a TPU or GPU, and count what the body of its loop consists of.

    For a TPU: scheduled bundles, of which a core executes one a cycle where nothing waits for memory; "+" where an
    instruction is itself a loop, so that more are executed. For a GPU: kernels, each of which is launched in every
    step, and temporary memory.

    Attributes:
        device: kind of accelerator.
        cells: cells to compile.
        sizes: sizes B,T,H.
        libraries: libraries to compile; "rnnjax, pallas" is rnnjax with its kernels for TPUs, for sizes that fit.
        reads: whether loss and outputs are of the last step, of all steps, or each in turn.
        out: JSON file for all counts, with those of single instructions; none if not given.
    """

    device: Literal["v5e", "v6e", "T4", "A100", "H200"] = "v5e"
    cells: tuple[CellName, ...] = ALL
    sizes: tuple[str, ...] = SIZES
    libraries: tuple[Library, ...] = ("rnnjax", "flax.linen")
    reads: tuple[Reads, ...] = ("last", "all")
    out: str | None = None

    def cases(self) -> list[Case]:
        """Every cell at every size."""
        return [Case(cell, *map(int, size.split(","))) for size in self.sizes for cell in self.cells]


def main() -> None:
    """Compile, and print the table of each case when it is done."""
    flags, console = tyro.cli(AheadOfTime), Console()
    jax.config.update("jax_platforms", "cpu")  # the only one that can run anything here
    with tempfile.TemporaryDirectory() as folder:
        write_bundles_to(Path(folder))
        used = ", ".join(" ".join(item) for item in versions().items())
        console.print(f"{TARGETS[flags.device].title}: compiled, not timed; {used}")
        counted = []
        for case in flags.cases():
            programs = [
                (library, what, reads)
                for library in flags.libraries
                for what in PASSES[library]
                for reads in flags.reads
            ]
            counts = [
                count(flags.device, case, *program, Path(folder))
                for program in track(programs, case.title, console=console, transient=True)
            ]
            console.print(table(flags, case, counts))
            counted.append({"case": case._asdict(), "programs": [one.as_json() for one in counts]})
            if flags.out is not None:
                metadata = {"device": flags.device, "versions": versions()}
                Path(flags.out).write_text(json.dumps({**metadata, "counted": counted}, indent=1))


@dataclasses.dataclass(frozen=True)
class Counts:
    """One compiled program.

    Attributes:
        library: whose layer.
        what: its pass.
        reads: what the loss reads.
        compile_seconds: of tracing and compiling.
        temporary_bytes: memory besides arguments and results.
        loops: the bodies of its loops.
    """

    library: Library
    what: Pass
    reads: Reads
    compile_seconds: float
    temporary_bytes: int
    loops: tuple[LoopBody, ...]

    def as_json(self) -> dict[str, Any]:
        """All fields by name, also those of the loops."""
        return {**dataclasses.asdict(self), "loops": [body._asdict() for body in self.loops]}

    def shown(self, *, backward: bool) -> str:
        """Bundles or kernels of the forward or the backward loop; "–" where there is none."""
        bodies = [body for body in self.loops if body.backward is backward]
        mark = "+" * any(body.loops_inside for body in bodies)
        return f"{sum(body.count for body in bodies):,}{mark}" if bodies else "–"


def count(device: str, case: Case, library: Library, what: Pass, reads: Reads, folder: Path) -> Counts:
    """Compile one program, and count; ``folder`` is the one that libtpu writes to."""
    target, program, began = TARGETS[device], layer_program(library, case, what, reads), time.perf_counter()
    compiled = compile_for_device(program.function, program.arguments, target.devices()[0])
    seconds, text = time.perf_counter() - began, compiled.as_text() or ""
    if target.platform == "cuda":
        bodies = loop_kernels(text)
    elif library == "rnnjax, pallas":
        block = steps_of_block(CELLS[case.cell](case.features), case.steps, case.batch)
        bodies = kernel_bundles(text, folder, block)
    else:
        bodies = loop_bundles(text, folder)
    return Counts(library, what, reads, seconds, memory_use(compiled).temporary, tuple(bodies))


def table(flags: AheadOfTime, case: Case, counts: list[Counts]) -> Table:
    """A row for each pass of each library; for each loss the counts of a step forward and back, on GPUs the memory."""
    is_tpu = TARGETS[flags.device].platform == "tpu"
    unit, read = "bundles" if is_tpu else "kernels", " | ".join(READS[reads] for reads in flags.reads)
    title = f"{case.title}; {unit} a step; loss of {read}"
    shown = Table("layer, pass", title=title, title_justify="left")
    for title in ("forward", "backward", *([] if is_tpu else ["temporary"])) * len(flags.reads):
        shown.add_column(title, justify="right")
    for library in flags.libraries:
        for what in PASSES[library]:
            fields = []
            for one in (one for one in counts if (one.library, one.what) == (library, what)):
                memory = [] if is_tpu else [f"{one.temporary_bytes / 2**20:.1f} MiB"]
                fields += [one.shown(backward=False), one.shown(backward=True), *memory]
            shown.add_row(f"{library}, {what}", *fields)
    return shown


if __name__ == "__main__":
    main()
