"""Imports run downward only, and some libraries have one place."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Lowest first; "rnnjax" is the package's own door, for those outside of it.
LAYERS = (
    "errors", "blas", "checks", "cells", "norms", "ordering", "chunks", "scans", "recurrence", "modules", "pooling",
    "classifier", "interop", "diagnostics", "capture", "examine", "layer_record", "explain", "data", "training",
    "report", "diagnosing", "rnnjax", "experiments", "launch",
)  # fmt: skip
FORBIDDEN = {
    "matplotlib": {*LAYERS} - {"report"},
    "bokeh": {*LAYERS} - {"report"},
    "flax": {"checks", "cells", "recurrence", "scans", "diagnostics"},
    "jax": {"data"},
}
CELLS_MAY = {"jax", "numpy", *sys.stdlib_module_names}
DATA_MAY = {"data", "errors"}  # all else below it needs jax


def layer_of(module):
    """The layer that a dotted name belongs to, None where it is not ours."""
    top, _, rest = module.partition(".")
    if top != "rnnjax":
        return top if top in LAYERS[-2:] else None
    return rest.split(".")[0] if rest.split(".")[0] in LAYERS else "rnnjax"


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


def violations(path, source):
    """One sentence for each import that ``path`` (relative to the root) may not have."""
    layer = layer_of(".".join(Path(path).with_suffix("").parts))
    if layer == "rnnjax" and path != "rnnjax/__init__.py":
        return [f"{path} has no place in LAYERS"]
    for_door = path == "rnnjax/__init__.py"
    found = []
    for name in imported(path, source):
        target, library = layer_of(name), name.split(".")[0]
        if target is None:
            wrong = layer in FORBIDDEN.get(library, ()) or (layer == "cells" and library not in CELLS_MAY)
        else:
            upward = LAYERS.index(target) > LAYERS.index(layer)
            wrong = not for_door and (upward or (layer == "data" and target not in DATA_MAY))
        if wrong:
            found.append(f"{path} must not import {name}")
    return found


def sources():
    files = [*(ROOT / "rnnjax").rglob("*.py"), *(ROOT / "experiments").rglob("*.py"), ROOT / "launch.py"]
    return {f.relative_to(ROOT).as_posix(): f.read_text(encoding="utf-8") for f in files if f.exists()}


def test_the_repository_imports_downward():
    files = sources()
    assert {"rnnjax/errors.py", "rnnjax/cells/base.py", "rnnjax/recurrence.py"} <= set(files)
    assert [line for path, source in files.items() for line in violations(path, source)] == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("rnnjax/cells/lstm.py", "from rnnjax.scans import plain_scan"),
        ("rnnjax/cells/lstm.py", "import flax.linen as nn"),
        ("rnnjax/cells/lstm.py", "import optax"),
        ("rnnjax/cells/lstm.py", "import rnnjax"),
        ("rnnjax/cells/lstm.py", "from rnnjax import unroll"),
        ("rnnjax/cells/lstm.py", "from .. import recurrence"),
        ("rnnjax/cells/lstm.py", "from ..recurrence import unroll"),
        ("rnnjax/cells/lstm.py", "def late():\n    import rnnjax.recurrence"),
        ("rnnjax/scans.py", "from rnnjax.recurrence import unroll"),
        ("rnnjax/scans.py", "from . import recurrence"),
        ("rnnjax/recurrence.py", "from rnnjax.modules import RNN"),
        ("rnnjax/recurrence.py", "from flax import linen"),
        ("rnnjax/modules.py", "import rnnjax.diagnostics.gradients"),
        ("rnnjax/diagnostics/gradients.py", "from rnnjax.training.records import read_records"),
        ("rnnjax/diagnostics/gradients.py", "from rnnjax import training"),
        ("rnnjax/diagnostics/gradients.py", "import flax"),
        ("rnnjax/data/recall.py", "import jax.numpy as jnp"),
        ("rnnjax/data/recall.py", "if True:\n    from jax import random"),
        ("rnnjax/data/recall.py", "from rnnjax.diagnostics import reach"),
        ("rnnjax/training/loop.py", "from rnnjax.report.page import write_report"),
        ("rnnjax/training/loop.py", "import matplotlib.pyplot as plt"),
        ("rnnjax/report/page.py", "import experiments.recall"),
        ("experiments/recall.py", "from launch import main"),
        ("experiments/recall.py", "from matplotlib import pyplot"),
        ("launch.py", "import matplotlib"),
        ("rnnjax/errors.py", "from rnnjax.cells import Cell"),
        ("rnnjax/elsewhere.py", ""),
    ],
)
def test_an_import_upward_is_found(path, source):
    assert len(violations(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("launch.py", "import rnnjax, experiments.recall\nfrom rnnjax.report.page import write_report"),
        ("experiments/recall.py", "from rnnjax import LSTM\nfrom experiments import imdb\nimport jax, optax"),
        ("rnnjax/report/page.py", "import matplotlib\nfrom rnnjax.training.records import read_records"),
        ("rnnjax/training/loop.py", "from rnnjax.data import batches\nimport flax.linen, optax"),
        ("rnnjax/data/recall.py", "import numpy as np\nfrom . import examples\nfrom ..errors import UserError"),
        ("rnnjax/diagnostics/gradients.py", "import jax\nfrom rnnjax.recurrence import unroll"),
        ("rnnjax/recurrence.py", "from rnnjax.cells import Cell\nfrom rnnjax.scans import fused_scan"),
        ("rnnjax/cells/lstm.py", "import jax, numpy, dataclasses\nfrom rnnjax.cells.base import Cell"),
        ("rnnjax/cells/spec.py", "from rnnjax.errors import UserError\nfrom .base import Cell"),
        ("rnnjax/__init__.py", "from rnnjax.modules import RNN\nfrom rnnjax import diagnostics"),
    ],
)
def test_an_import_downward_is_allowed(path, source):
    assert violations(path, source) == []
