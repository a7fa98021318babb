"""``python -m benchmarks.show_ahead``: what ``benchmarks.ahead_of_time`` has counted, as Markdown tables."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import tyro

from benchmarks.cases import Case
from benchmarks.layer_programs import Library, Pass, Reads
from benchmarks.show import CELLS
from rnnjax.sharding.targets import TARGETS

COLUMNS: dict[str, tuple[Library, Pass, Reads]] = {
    "outputs": ("rnnjax", "forward", "all"),
    "Flax": ("flax.linen", "forward", "all"),
    "gradient of h_T": ("rnnjax", "gradient", "last"),
    "Flax ": ("flax.linen", "gradient", "last"),
    "gradient of all h_t": ("rnnjax", "gradient", "all"),
    "Flax  ": ("flax.linen", "gradient", "all"),
    "with norm taps": ("rnnjax", "gradient, norm taps", "all"),
    "with taps": ("rnnjax", "gradient, taps", "all"),
    "given taps": ("rnnjax", "gradient, given taps", "all"),
    "outputs, Pallas": ("rnnjax, pallas", "forward", "all"),
    "gradient of all h_t, Pallas": ("rnnjax, pallas", "gradient", "all"),
    "with norm taps, Pallas": ("rnnjax, pallas", "gradient, norm taps", "all"),
    "with taps, Pallas": ("rnnjax, pallas", "gradient, taps", "all"),
}


@dataclasses.dataclass(frozen=True)
class ShowAhead:
    """Print tables of counted bundles or kernels: in a step forward, and where there is one, in a step back.

    Attributes:
        counted: JSON files written by ``benchmarks.ahead_of_time --out``.
    """

    counted: tyro.conf.Positional[tuple[str, ...]]


def main() -> None:
    """Print a table for each file."""
    for file in tyro.cli(ShowAhead).counted:
        contents = json.loads(Path(file).read_text())
        target = TARGETS[contents["device"]]
        is_tpu = target.platform == "tpu"
        print(f"\n**{target.title}**, {'bundles' if is_tpu else 'kernels and temporary memory'}\n")
        cases = [
            {(one["library"], one["what"], one["reads"]): one for one in case["programs"]}
            for case in contents["counted"]
        ]
        columns = {title: column for title, column in COLUMNS.items() if column in cases[0]}
        print("| layer (B, T, H) | " + " | ".join(columns) + " |\n|---" + "|---:" * len(columns) + "|")
        for case, programs in zip(contents["counted"], cases, strict=True):
            fields = [_counts(programs[column], memory=not is_tpu) for column in columns.values()]
            print(f"| {_title(Case(**case['case']))} | " + " | ".join(fields) + " |")


def _counts(program: dict[str, Any], *, memory: bool) -> str:
    """Counts in a step forward and in one back, as "163 + 251", and where wanted the temporary memory."""
    parts = []
    for backward in (False, True):
        bodies = [body for body in program["loops"] if body["backward"] is backward]
        if bodies:
            mark = "⁺" * any(body["loops_inside"] for body in bodies)
            parts.append(f"{sum(body['count'] for body in bodies):,}{mark}")
    return " + ".join(parts) + f", {program['temporary_bytes'] / 2**20:.0f} MiB" * memory


def _title(case: Case) -> str:
    return f"{CELLS[case.cell]} ({case.batch}, {case.steps}, {case.features})"


if __name__ == "__main__":
    main()
