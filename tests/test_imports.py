"""Imports run downward only, file by file, without cycles; some libraries are imported in one package only."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_FILES = 15  # in a folder of source, not counting its sub-folders
# Lowest floor first. A file may import from lower floors and from its own room, not from another room of its floor.
FLOORS = (
    ("rnnjax/errors", "rnnjax/typing", "rnnjax/regular_files", "rnnjax/runtime/"),
    ("rnnjax/formatting", "rnnjax/argument_checks", "rnnjax/dtypes", "rnnjax/scans/equations"),
    ("rnnjax/cells/", "rnnjax/data/", "rnnjax/scans/dependence"),
    ("rnnjax/core/",),
    ("rnnjax/nn/",),
    ("rnnjax/diagnostics/", "rnnjax/interop/"),
    ("rnnjax/scans/",),
    ("rnnjax/analysis/", "rnnjax/config/"),
    ("rnnjax/runs/", "rnnjax/sharding/", "rnnjax/distributed/"),
    ("rnnjax/training/step/",),
    ("rnnjax/training/", "rnnjax/report/"),
    ("rnnjax/scan_alarms", "rnnjax/logged_gradients"),
    ("rnnjax/diagnosis", "rnnjax/prediction", "rnnjax/scan_gradients", "rnnjax/training_log"),
    ("rnnjax/__init__",),
    ("experiments/",),
    ("launch",),
)
FORBIDDEN = {  # library -> whether a room may not import it
    "matplotlib": lambda room: room != "rnnjax/report/",
    "bokeh": lambda room: room != "rnnjax/report/",
    "flax": lambda room: room in {"rnnjax/argument_checks", "rnnjax/cells/", "rnnjax/core/", "rnnjax/diagnostics/"},
    "jax": lambda room: room == "rnnjax/data/",
}
CELLS_MAY = {"jax", "numpy", *sys.stdlib_module_names}


def floor_and_room(path):
    """(floor, room) of a file (its path without suffix): the longest room that matches. None where there is none."""
    pairs = [(floor, room) for floor, rooms in enumerate(FLOORS) for room in rooms]
    matches = [pair for pair in pairs if path == pair[1] or (pair[1].endswith("/") and path.startswith(pair[1]))]
    return max(matches, key=lambda pair: len(pair[1])) if matches else None


def imported(path, source):
    """Dotted names of all imports in ``source``, also those inside functions; ``from a import b`` is a.b."""
    package = Path(path).parts[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*up, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def file_of(name, files):
    """The file (its path without suffix) that defines a dotted name; None for other libraries."""
    parts = name.split(".")
    if parts[0] not in ("rnnjax", "experiments", "launch"):
        return None
    for cut in range(len(parts), 0, -1):
        path = "/".join(parts[:cut])
        if path in files:
            return path
        if f"{path}/__init__" in files:
            return f"{path}/__init__"
    raise LookupError(name)


def violations(path, source, files):
    """A sentence for each forbidden import of the file ``path`` (relative to the root, without suffix)."""
    if floor_and_room(path) is None:
        return [f"{path} is on no floor"]
    floor, room = floor_and_room(path)
    sentences = []
    for name in imported(f"{path}.py", source):
        target, library = file_of(name, files), name.split(".")[0]
        if target is None:
            wrong = FORBIDDEN.get(library, lambda room: False)(room)
            wrong |= room == "rnnjax/cells/" and library not in CELLS_MAY
        else:
            other_floor, other_room = floor_and_room(target)
            wrong = other_floor > floor or (other_floor == floor and other_room != room)
            wrong |= room == "rnnjax/data/" and other_room not in (
                room,
                "rnnjax/errors",
                "rnnjax/regular_files",
                "rnnjax/typing",
            )
        if wrong:
            sentences.append(f"{path} must not import {name}")
    return sentences


def sources():
    files = [*(ROOT / "rnnjax").rglob("*.py"), *(ROOT / "experiments").rglob("*.py"), ROOT / "launch.py"]
    return {f.relative_to(ROOT).with_suffix("").as_posix(): f.read_text(encoding="utf-8") for f in files}


FILES = sources()


def cycle(files):
    """Files that import each other in a cycle, empty where there is none. Imports under TYPE_CHECKING count."""
    graph = {
        path: {
            target for name in imported(f"{path}.py", source) if (target := file_of(name, files)) not in (None, path)
        }
        for path, source in files.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_every_file_imports_downward():
    assert {"rnnjax/errors", "rnnjax/cells/base", "rnnjax/core/unroll"} <= FILES.keys()
    assert [line for path, source in FILES.items() for line in violations(path, source, FILES)] == []


def test_no_cycle_of_files():
    assert cycle(FILES) == []


def test_cycles_by_late_imports_and_imports_for_types_are_detected():
    late = "def f():\n    from rnnjax import b"
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from rnnjax.a import A"
    assert set(cycle({"rnnjax/a": late, "rnnjax/b": typed, "rnnjax/__init__": ""})) == {"rnnjax/a", "rnnjax/b"}
    assert cycle({"rnnjax/a": late, "rnnjax/b": "", "rnnjax/__init__": ""}) == []


def test_no_folder_has_too_many_files():
    folders = {}
    for path in FILES:
        folders.setdefault(str(Path(path).parent), []).append(path)
    assert {folder: len(files) for folder, files in folders.items() if len(files) > MAX_FILES} == {}


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("rnnjax/cells/lstm", "from rnnjax.core.fused import fused_scan"),
        ("rnnjax/cells/lstm", "import flax.linen as nn"),
        ("rnnjax/cells/lstm", "import optax"),
        ("rnnjax/cells/lstm", "import rnnjax"),
        ("rnnjax/cells/lstm", "from rnnjax import unroll"),
        ("rnnjax/cells/lstm", "from ..core import unroll"),
        ("rnnjax/cells/lstm", "def late():\n    import rnnjax.core.unroll"),
        ("rnnjax/core/unroll", "from rnnjax.nn.recurrent import RNN"),
        ("rnnjax/core/unroll", "from flax import linen"),
        ("rnnjax/nn/recurrent", "import rnnjax.diagnostics.gradients"),
        ("rnnjax/diagnostics/gradients", "from rnnjax.runs.reader import load_run"),
        ("rnnjax/diagnostics/gradients", "from rnnjax import training"),
        ("rnnjax/diagnostics/gradients", "import flax"),
        ("rnnjax/data/synthetic/recall", "import jax.numpy as jnp"),
        ("rnnjax/data/synthetic/recall", "if True:\n    from jax import random"),
        ("rnnjax/data/synthetic/recall", "from rnnjax.diagnostics import reach"),
        ("rnnjax/training/train_loop", "from rnnjax.report.run_report import write_report"),
        ("rnnjax/report/run_report", "from rnnjax.training.train_loop import train"),
        ("rnnjax/runs/reader", "from rnnjax.training.step.train_step import Batch"),
        ("rnnjax/training/step/train_step", "from rnnjax.training.train_loop import train"),
        ("rnnjax/training/train_loop", "import matplotlib.pyplot as plt"),
        ("rnnjax/report/run_report", "import experiments.base"),
        ("experiments/base", "from launch import main"),
        ("experiments/base", "from matplotlib import pyplot"),
        ("launch", "import matplotlib"),
        ("rnnjax/errors", "from rnnjax.cells import Cell"),
        ("rnnjax/elsewhere", ""),
    ],
)
def test_an_upward_import_is_detected(path, source):
    assert len(violations(path, source, FILES)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("launch", "import rnnjax, experiments.base\nfrom rnnjax.report.run_report import write_report"),
        ("experiments/base", "from rnnjax import LSTM\nfrom experiments.tasks import imdb\nimport jax, optax"),
        ("rnnjax/report/run_report", "import matplotlib\nfrom rnnjax.runs.reader import load_run"),
        ("rnnjax/training/train_loop", "from rnnjax.data import batching\nimport flax.linen, optax"),
        ("rnnjax/training/train_loop", "from rnnjax.training.step.train_step import Batch"),
        ("rnnjax/data/synthetic/recall", "import numpy as np\nfrom .. import dataset\nfrom ...errors import UserError"),
        ("rnnjax/diagnostics/gradients", "import jax\nfrom rnnjax.core.unroll import unroll"),
        ("rnnjax/core/unroll", "from rnnjax.cells import Cell\nfrom rnnjax.core.fused import fused_scan"),
        ("rnnjax/cells/lstm", "import jax, numpy, dataclasses\nfrom rnnjax.cells.base import Cell"),
        ("rnnjax/cells/registry", "from rnnjax.errors import UserError\nfrom .base import Cell"),
        ("rnnjax/__init__", "from rnnjax.nn.recurrent import RNN\nfrom rnnjax import diagnostics"),
    ],
)
def test_a_downward_import_is_allowed(path, source):
    assert violations(path, source, FILES) == []


def test_training_does_not_wait_for_libraries_that_only_other_parts_need():
    unneeded = ("bokeh", "flax.nnx", "matplotlib", "scipy.stats", "tensorflow_datasets")
    program = f"import sys, experiments.run, rnnjax.training.study; print([m for m in {unneeded} if m in sys.modules])"
    finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout == "[]\n"


def test_a_report_does_not_wait_for_scipy_stats():
    program = "import sys, rnnjax.report.printing; print('scipy.stats' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout == "False\n"
