"""Cells in files of the user's own, named as ``my_cells:MyCell``: a class in my_cells.py of the working directory.

The file of such a cell is executed. ``own_cell`` is for a name that the user has given. A name that stands in a run
folder, which may be a stranger's, goes through ``trained_cell``: it executes a file, and the ``__init__.py`` of
packages around it, only where their contents are those of the training, and never one inside of the run folder.
"""

import ast
import contextlib
import hashlib
import importlib
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from rnnjax.cells.base import Cell
from rnnjax.cells.elementwise import ElementwiseCell
from rnnjax.errors import UserError

EXAMPLE = "my_cells:MyCell for the class MyCell of my_cells.py in the working directory"


def cell_file(name: str) -> Path:
    """The file of the cell ``name`` = module:Class, relative to the working directory; it need not exist.

    Raises:
        UserError: the name has another form.
    """
    module, _, class_name = name.partition(":")
    if module.endswith(".py") or not all(part.isidentifier() for part in (*module.split("."), class_name)):
        raise UserError(f"A cell of your own is named as module:Class, but {name!r} was given; give {EXAMPLE}.")
    path = Path(*module.split("."))
    package = path / "__init__.py"
    return package if package.is_file() else path.with_suffix(".py")


def executed_files(name: str) -> tuple[Path, ...]:
    """The file of the cell ``name``, after the ``__init__.py`` of each package around it, which Python runs too."""
    path = cell_file(name)
    packages = [folder / "__init__.py" for folder in reversed(path.parents)]
    return (*(package for package in packages[1:] if package.is_file() and package != path), path)


def file_digest(path: Path) -> str | None:
    """SHA-256 of a file; None where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def own_cell(name: str) -> type[Cell]:
    """The class ``name`` = module:Class in a file of the working directory, which is executed.

    Raises:
        UserError: there is no such file or class, the file cannot be imported, or the class is no cell.
    """
    path, class_name = cell_file(name), name.partition(":")[2]
    if not path.is_file():
        raise UserError(
            f"There is no file {path} in the working directory, which the cell {name!r} names; give {EXAMPLE}."
        )
    _check_class(path, class_name)
    cell_type = getattr(_import(name.partition(":")[0], path), class_name)
    if not (isinstance(cell_type, type) and issubclass(cell_type, Cell)):
        raise UserError(
            f"{class_name} of {path} is no cell; derive the class from rnnjax.Cell or rnnjax.ElementwiseCell."
        )
    if missing := _missing(cell_type):
        raise UserError(f"{class_name} of {path} does not define {', '.join(missing)}; a cell needs all of them.")
    return cell_type


def trained_cell(name: str, run: Path, contents: Mapping[str, str]) -> type[Cell]:
    """``own_cell`` for a name out of a run folder; all files executed for it must be those of the training.

    Args:
        name: module:Class.
        run: the run folder.
        contents: SHA-256 of files of the training by path, from the run's config.

    Raises:
        UserError: as ``own_cell``; a file has changed, or lies in the run folder, be it as a symbolic link.
    """
    path = cell_file(name)
    if not path.is_file():
        raise UserError(
            f"The run '{run}' was trained with {name}, but there is no file {path} in the working directory; change to "
            "the folder in which it was trained."
        )
    for file in executed_files(name):
        _check_trusted(file, name, run, contents)
    return own_cell(name)


def _check_trusted(file: Path, name: str, run: Path, contents: Mapping[str, str]) -> None:
    """Raise UserError unless ``file``, which the cell ``name`` of a run would execute, may be executed for it."""
    if any(place.is_relative_to(run.resolve()) for place in (file.resolve(), file.parent.resolve())):
        raise UserError(
            f"The run '{run}' names the cell {name} in a file of its own folder, and code of a run folder is not "
            "executed; move the file to where you trust it."
        )
    if file.as_posix() not in contents:
        raise UserError(
            f"The run '{run}' names the cell {name} without the content that {file} had, so that the file is not "
            f"executed; train again with --cells {name}."
        )
    if file_digest(file) != contents[file.as_posix()]:
        raise UserError(
            f"{file} is not the file that the run '{run}' was trained with; restore it, or train again with what it "
            "is now."
        )


@contextlib.contextmanager
def own_cell_errors(cells: Iterable[Cell]) -> Iterator[None]:
    """Turn an exception that one of the user's own among ``cells`` has caused into a UserError of one sentence.

    It is the cell's where it was raised in, or under, a function of the cell's file, or where its message names the
    class, as that of a check of rnnjax does.
    """
    files = {str(file): type(cell).__name__ for cell in cells if (file := _file_of(type(cell))) is not None}
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if frame.filename in files:
                place = f" ({Path(frame.filename).name}, line {frame.lineno}, in {frame.name})"
                raise UserError(f"The cell {files[frame.filename]} fails{place}: {_in_short(error)}") from None
        for file, name in files.items():
            if name in str(error):
                raise UserError(f"The cell {name} of {Path(file).name} does not fit: {_in_short(error)}") from None
        raise


def _check_class(path: Path, class_name: str) -> None:
    """Raise UserError unless a class of this name is defined in the file, which is read, not executed."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = "" if line is None else f" in line {line}"
        raise UserError(f"{path} is no Python{where} ({getattr(error, 'msg', error)}); correct it.") from None
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    if class_name not in classes:
        raise UserError(
            f"{path} does not define the class {class_name}; it defines {', '.join(classes) or 'no class'}."
        )


def _import(module_name: str, path: Path) -> ModuleType:
    """The module of the file, imported with the working directory in front of Python's path; no file is written."""
    sys.path.insert(0, str(Path.cwd()))
    writes_nothing, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        importlib.invalidate_caches()
        module = importlib.import_module(module_name)
    except Exception as error:
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename) == path.absolute()
        ]
        where = f", line {lines[-1]}" if lines else ""
        raise UserError(f"{path} cannot be imported{where}: {_in_short(error)}") from None
    finally:
        sys.dont_write_bytecode = writes_nothing
        sys.path.remove(str(Path.cwd()))
    file = getattr(module, "__file__", None)
    if file is None or Path(file).resolve() != path.resolve():
        raise UserError(f"The name {module_name} is that of another module, {file}; give {path} another name.")
    return module


def _missing(cell_type: type[Cell]) -> list[str]:
    """What a cell must define and this one does not."""
    if issubclass(cell_type, ElementwiseCell):
        missing = [name for name in ("gates", "State") if not hasattr(cell_type, name)]
        return missing + ["update"] * (cell_type.update is ElementwiseCell.update)
    return [name for name in ("init", "initial_state", "step") if getattr(cell_type, name) is getattr(Cell, name)]


def _file_of(cell_type: type[Cell]) -> Any:
    """The file of a class that is none of rnnjax; None for another, and where it is not known."""
    if cell_type.__module__.split(".")[0] == "rnnjax":
        return None
    return getattr(sys.modules.get(cell_type.__module__), "__file__", None)


def _in_short(error: Exception) -> str:
    """Type and first line of the message of an exception, as a sentence."""
    message = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {message}." if message else f"{type(error).__name__}."
