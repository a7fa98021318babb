"""Imports run downward only, file by file and without a circle, and some libraries have one place."""

import ast
import graphlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_FILES = 15  # in a folder of source
# Lowest first; of each floor the rooms, which do not import each other unless a lower one is named.
FLOORS = (
    ("rnnjax/errors", "rnnjax/typing", "rnnjax/runtime/"),
    ("rnnjax/formatting", "rnnjax/argument_checks"),
    ("rnnjax/cells/", "rnnjax/data/"),
    ("rnnjax/core/",),
    ("rnnjax/nn/",),
    ("rnnjax/diagnostics/", "rnnjax/interop/"),
    ("rnnjax/analysis/", "rnnjax/config/"),
    ("rnnjax/runs/", "rnnjax/sharding/", "rnnjax/distributed/"),
    ("rnnjax/training/step/",),
    ("rnnjax/training/", "rnnjax/report/"),
    ("rnnjax/diagnosis",),
    ("rnnjax/__init__",),
    ("experiments/",),
    ("launch",),
)
FORBIDDEN = {  # library -> the only rooms that may import it, or those that may not
    "matplotlib": lambda room: room != "rnnjax/report/",
    "bokeh": lambda room: room != "rnnjax/report/",
    "flax": lambda room: room in {"rnnjax/argument_checks", "rnnjax/cells/", "rnnjax/core/", "rnnjax/diagnostics/"},
    "jax": lambda room: room == "rnnjax/data/",
}
CELLS_MAY = {"jax", "numpy", *sys.stdlib_module_names}


def place_of(path):
    """(floor, room) of a file without its ending; the longest room that fits."""
    places = [(len(room), floor, room) for floor, rooms in enumerate(FLOORS) for room in rooms]
    found = [place for place in places if path == place[2] or (place[2].endswith("/") and path.startswith(place[2]))]
    return max(found)[1:] if found else None


def imported(path, source):
    """Dotted names of all that ``source`` imports, wherever in it, with ``from a import b`` as a.b."""
    package = Path(path).parts[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*up, *filter(None, [node.module])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def file_of(name, files):
    """The file without its ending that a dotted name is in; None where it is not ours."""
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
    """One sentence for each import that ``path`` (relative to the root, without its ending) may not have."""
    place = place_of(path)
    if place is None:
        return [f"{path} is on no floor"]
    floor, room = place
    found = []
    for name in imported(f"{path}.py", source):
        target, library = file_of(name, files), name.split(".")[0]
        if target is None:
            wrong = FORBIDDEN.get(library, lambda room: False)(room)
            wrong |= room == "rnnjax/cells/" and library not in CELLS_MAY
        else:
            other_floor, other_room = place_of(target)
            wrong = other_floor > floor or (other_floor == floor and other_room != room)
            wrong |= room == "rnnjax/data/" and other_room not in (room, "rnnjax/errors", "rnnjax/typing")
        if wrong:
            found.append(f"{path} must not import {name}")
    return found


def sources():
    files = [*(ROOT / "rnnjax").rglob("*.py"), *(ROOT / "experiments").rglob("*.py"), ROOT / "launch.py"]
    return {f.relative_to(ROOT).with_suffix("").as_posix(): f.read_text(encoding="utf-8") for f in files}


FILES = sources()


def circle(files):
    """A circle of files that import each other, empty where there is none. Imports for types alone count."""
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


def test_no_circle_of_files():
    assert circle(FILES) == []


def test_a_circle_is_found_also_where_it_is_imported_late_or_for_types():
    late = "def f():\n    from rnnjax import b"
    typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from rnnjax.a import A"
    assert set(circle({"rnnjax/a": late, "rnnjax/b": typed, "rnnjax/__init__": ""})) == {"rnnjax/a", "rnnjax/b"}
    assert circle({"rnnjax/a": late, "rnnjax/b": "", "rnnjax/__init__": ""}) == []


def test_no_folder_holds_more_files_than_one_can_look_over():
    folders = {}
    for path in FILES:
        folders.setdefault(str(Path(path).parent), []).append(path)
    assert {folder: len(files) for folder, files in folders.items() if len(files) > MOST_FILES} == {}


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
def test_an_import_upward_is_found(path, source):
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
def test_an_import_downward_is_allowed(path, source):
    assert violations(path, source, FILES) == []
