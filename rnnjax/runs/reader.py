"""A run folder read back from disk, as far as it got: with its members' folders all that the report knows of files."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rnnjax.errors import UserError
from rnnjax.runs.json_io import read_json
from rnnjax.runs.record_reader import read_member
from rnnjax.runs.schema import GradientLog, Result, RunRecord, Scores
from rnnjax.runs.task import TaskInfo, read_task
from rnnjax.typing import Floats

__all__ = ["Floats", "GradientLog", "Result", "Run", "RunRecord", "Scores", "load_run"]

PARTIAL = ".partial"  # ends the name of a member's folder while a merge copies it


@dataclass(frozen=True, eq=False)
class Run:
    """Everything a run folder holds; ``unborn`` names the member folders in which nothing was written yet."""

    path: Path
    experiment: str
    flags: dict[str, Any]
    environment: dict[str, Any]
    members: tuple[RunRecord, ...]
    unborn: tuple[str, ...]
    task: TaskInfo = field(default_factory=TaskInfo)


def load_run(path: Path) -> Run:
    """Read a run folder, finished or killed at any moment.

    Raises:
        UserError: ``path`` is not a run folder, or a file in it is damaged beyond a torn last line.
    """
    if not (path / "config.json").is_file():
        raise UserError(f"'{path}' is not a run folder (it holds no config.json); name a folder that a run wrote.")
    config = read_json(path / "config.json")
    environment = path / "environment.json"
    folders = sorted(folder for folder in (path / "members").glob("*") if folder.is_dir() and folder.suffix != PARTIAL)
    begun = [folder for folder in folders if (folder / "member.json").exists()]
    task = read_task(path / "task.json")
    members = [_whole(folder, task) for folder in begun]
    return Run(
        path=path,
        experiment=str(config.get("experiment", "unknown")),
        flags=_flags(path, config),
        environment=read_json(environment) if environment.exists() else {},
        members=tuple(sorted(members, key=lambda member: (member.parameters, member.label, member.seed))),
        unborn=tuple(folder.name for folder in folders if folder not in begun),
        task=task,
    )


def _flags(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    file = path / "config.json"
    flags = config.get("flags") or {}
    if not isinstance(flags, dict):
        raise UserError(f"'{file}' is damaged, expected an object under flags; restore it or run again.")
    return flags


def _whole(folder: Path, task: TaskInfo) -> RunRecord:
    try:
        return read_member(folder, task)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise UserError(
            f"The records in '{folder}' are damaged ({type(error).__name__}: {error}); "
            "expected what a run writes there: remove that folder or run again."
        ) from error
