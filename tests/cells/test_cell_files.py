"""Cells in files of the user's own: found by module and class, and one sentence about whatever is wrong with them."""

import hashlib
import itertools
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest

import rnnjax
from rnnjax.cells.registry import cell_files, cell_from_spec, label_of, parse_spec, slug_of
from rnnjax.cells.specs.options import cell_options
from rnnjax.cells.specs.own_cells import own_cell_errors, trained_cell
from rnnjax.errors import UserError

NUMBERS = itertools.count()  # a module is imported once in a process, so each test has a module of its own
FILE = """
import dataclasses
from typing import Literal, NamedTuple

import jax.numpy as jnp

import rnnjax


class State(NamedTuple):
    h: object


@dataclasses.dataclass(frozen=True)
class Leaky(rnnjax.Cell):
    rate: float = 0.5
    depth: int | None = None
    kind: Literal["slow", "fast"] = "slow"
    biased: bool = False
    name: str = "x"
    table: tuple[int, ...] = (1, 2)

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.rate < 1:
            raise ValueError(f"rate must lie between 0 and 1, got {self.rate}")
        if self.depth == 13:
            raise RuntimeError("thirteen")

    def init(self, key, in_features):
        return {"w": jnp.ones((in_features, self.features))}

    def initial_state(self, batch_shape=()):
        return State(jnp.zeros((*batch_shape, self.features)))

    def step(self, params, state, x_t):
        h = self.rate * state.h + x_t @ params["w"]
        return State(h), h


class Unfinished(rnnjax.Cell):
    def step(self, params, state, x_t):
        return state, x_t


class Gateless(rnnjax.ElementwiseCell):
    pass


class Other:
    pass
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module with ``FILE`` in the working directory."""
    name = f"own_module_{next(NUMBERS)}"
    monkeypatch.chdir(tmp_path)
    Path(f"{name}.py").write_text(FILE)
    return name


def said(function, *arguments):
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    return str(caught.value)


def test_a_class_in_a_file_of_the_working_directory(module):
    spec = f"{module}:Leaky:rate=0.25,depth=3,kind=fast,biased=true,name=y,dtype=bfloat16"
    cell = cell_from_spec(spec, 4)
    kind = sys.modules[module].Leaky
    assert cell == kind(4, 0.25, 3, "fast", True, "y", dtype=jnp.bfloat16)
    assert cell_from_spec(f"{module}:Leaky", 4) == kind(4)
    assert cell_from_spec(f"{module}:Leaky:depth=none", 4) == kind(4)
    assert list(cell_options(kind)) == ["biased", "depth", "dtype", "kind", "name", "rate"]
    assert label_of(spec).startswith("Leaky rate=0.25 depth=3 ")
    assert slug_of(label_of(f"{module}:Leaky:rate=0.25")) == "leaky-rate-0.25"
    assert cell_files(["lstm", spec, f"{module}:Other"]) == [Path(f"{module}.py")]
    assert str(Path.cwd()) not in sys.path


def test_modules_may_lie_in_packages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = f"own_package_{next(NUMBERS)}"
    Path(package, "deep").mkdir(parents=True)
    Path(package, "deep", "cells.py").write_text(FILE)
    Path(package, "__init__.py").write_text(FILE.replace("Leaky", "Top"))
    assert type(cell_from_spec(f"{package}.deep.cells:Leaky", 2)).__name__ == "Leaky"
    assert type(cell_from_spec(f"{package}:Top", 2)).__name__ == "Top"


def test_the_label_of_a_class_with_a_built_in_name_names_its_module():
    assert label_of("my_cells:LSTM:a=1") == "my_cells.LSTM a=1"
    assert label_of("my_cells:Mine") == "Mine"


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        ("lstm:chrono=9", ("lstm", ("chrono=9",))),
        ("lstm:9", ("lstm", ("9",))),
        ("a.b:C", ("a.b:C", ())),
        ("a.b:C:", ("a.b:C", ())),
        ("a:C:x=1,y=2", ("a:C", ("x=1", "y=2"))),
        ("lstn:chrono=9", ("lstn", ("chrono=9",))),
    ],
)
def test_the_parts_of_a_spec(spec, parts):
    assert parse_spec(spec) == parts


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere:Cell", "There is no file nowhere.py in the working directory, which the cell 'nowhere:Cell' names; "),
        ("a.py:Cell", "A cell of your own is named as module:Class, but 'a.py:Cell' was given; give my_cells:MyCell "),
        ("../a:Cell", "A cell of your own is named as module:Class, but '../a:Cell' was given; give my_cells:MyCell "),
        ("{module}:9", "A cell of your own is named as module:Class, but '{module}:9' was given"),
        ("{module}:Leakey", "{module}.py does not define the class Leakey; it defines State, Leaky, Unfinished, "),
        ("{module}:Other", "Other of {module}.py is no cell; derive the class from rnnjax.Cell or rnnjax.Elementwise"),
        ("{module}:Unfinished", "Unfinished of {module}.py does not define init, initial_state; a cell needs all of "),
        ("{module}:Gateless", "Gateless of {module}.py does not define gates, State, update; a cell needs all of them"),
        ("{module}:Leaky:speed=1", "The cell '{module}:Leaky' has no option 'speed'; it has biased, depth, dtype, "),
        ("{module}:Leaky:table=1", "The cell '{module}:Leaky' has no option 'table'; "),
        ("{module}:Leaky:rate=2", "In '{module}:Leaky:rate=2', rate must lie between 0 and 1, got 2.0."),
        ("{module}:Leaky:rate=much", "rate must be a number, but 'much' was given."),
        ("{module}:Leaky:depth=much", "depth must be a whole number, or none, but 'much' was given."),
        ("{module}:Leaky:biased=1", "biased must be true or false, but '1' was given."),
        ("{module}:Leaky:kind=1", "kind must be slow or fast, but '1' was given."),
        ("{module}:Leaky:depth=13", "'{module}:Leaky:depth=13' cannot be made: RuntimeError: thirteen."),
    ],
)
def test_what_is_wrong_is_one_sentence(spec, message, module):
    assert message.format(module=module) in said(cell_from_spec, spec.format(module=module), 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("class A:\n  x = (", "{module}.py is no Python in line 2 ('(' was never closed); correct it."),
        (
            "import no_such_library\nclass A: pass",
            "{module}.py cannot be imported, line 1: ModuleNotFoundError: No mod",
        ),
        ("class A: pass\n\n1 / 0", "{module}.py cannot be imported, line 3: ZeroDivisionError: division by zero."),
        ("A = 3", "{module}.py does not define the class A; it defines no class."),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(content, message, module):
    Path(f"{module}.py").write_text(content)
    assert message.format(module=module) in said(cell_from_spec, f"{module}:A", 4)


def test_a_name_that_another_module_has(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pytest.py").write_text("class A: pass")
    assert "The name pytest is that of another module, " in said(cell_from_spec, "pytest:A", 4)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_is_executed_for_a_run_only_if_it_is_that_of_the_training(module, tmp_path):
    path, run = Path(f"{module}.py"), tmp_path / "run"
    run.mkdir()
    spec, contents = f"{module}:Leaky", {path.name: digest(path)}
    assert "train again with --cells" in said(trained_cell, spec, run, {})
    assert f"{path} is not the file that the run" in said(trained_cell, spec, run, {path.name: "0" * 64})
    path.write_text(FILE + "raise SystemExit\n")
    assert f"{path} is not the file that the run" in said(trained_cell, spec, run, contents)
    assert module not in sys.modules
    path.write_text(FILE)
    assert trained_cell(spec, run, contents).__name__ == "Leaky"
    path.unlink()
    assert "but there is no file" in said(trained_cell, spec, run, contents)


def test_code_in_a_run_folder_is_not_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs/theirs").mkdir(parents=True)
    file = Path("runs/theirs/cells.py")
    file.write_text("raise SystemExit\nclass A: pass")
    contents = {file.as_posix(): digest(file)}
    message = said(trained_cell, "runs.theirs.cells:A", Path("runs/theirs"), contents)
    assert "in a file of its own folder, and code of a run folder is not executed" in message
    Path("cells_of_theirs.py").symlink_to(file)
    contents = {"cells_of_theirs.py": digest(file)}
    assert "of its own folder" in said(trained_cell, "cells_of_theirs:A", Path("runs/theirs"), contents)


def test_a_link_in_a_run_folder_to_a_known_file_does_not_execute_what_lies_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Path("runs/theirs")
    run.mkdir(parents=True)
    Path("known.py").write_text("class A: pass")
    (run / "link.py").symlink_to(Path("known.py").absolute())
    (run / "__init__.py").write_text("raise SystemExit")
    for contents in ({}, {"runs/theirs/link.py": digest(Path("known.py"))}):
        assert "of its own folder" in said(trained_cell, "runs.theirs.link:A", run, contents)


def test_packages_around_a_cell_must_be_those_of_the_training(module, tmp_path):
    package, run = Path(f"{module}_package"), tmp_path / "run"
    package.mkdir()
    run.mkdir()
    init, path = package / "__init__.py", package / "cells.py"
    init.write_text("raise SystemExit")
    path.write_text(FILE)
    name = f"{package}.cells:Leaky"
    assert cell_files([name]) == [init, path]
    assert f"the content that {init} had" in said(trained_cell, name, run, {path.as_posix(): digest(path)})
    init.write_text("")
    contents = {file.as_posix(): digest(file) for file in cell_files([name])}
    assert trained_cell(name, run, contents).__name__ == "Leaky"


def test_an_exception_of_the_cell_is_one_sentence_with_its_line(module):
    Path(f"{module}.py").write_text(FILE.replace("state.h + x_t", "state.h + x_t.T"))
    cell = cell_from_spec(f"{module}:Leaky", 4)
    params, xs = cell.init(None, 3), jnp.zeros((5, 2, 3))

    def unroll():
        with own_cell_errors([rnnjax.LSTM(3), cell]):
            rnnjax.unroll(cell, params, xs)

    message = said(unroll)
    assert message.startswith(f"The cell Leaky fails ({module}.py, line 37, in step): TypeError: dot_general requires")


def test_a_result_that_does_not_fit_is_one_sentence(module):
    Path(f"{module}.py").write_text(FILE.replace("return State(h), h", "return (h,), h"))
    cell = cell_from_spec(f"{module}:Leaky", 4)

    def unroll():
        with own_cell_errors([cell]):
            rnnjax.unroll(cell, cell.init(None, 3), jnp.zeros((5, 2, 3)))

    assert said(unroll).startswith(f"The cell Leaky of {module}.py does not fit: ValueError: the state that step ")


def test_other_exceptions_are_left_alone(module):
    cell = cell_from_spec(f"{module}:Leaky", 4)
    with pytest.raises(ZeroDivisionError), own_cell_errors([cell, rnnjax.LSTM(3)]):
        _ = 1 / 0
    with pytest.raises(UserError, match=r"^mine$"), own_cell_errors([cell]):
        raise UserError("mine")
