"""One folder a run: what was asked, on what it ran, and for each trained member what came of it.

RUN/config.json  environment.json  task.json  vocabulary.json  figures/  report.html  table.csv  table.parquet
RUN/members/lstm-seed0/  member.json  metrics.jsonl  gradients.jsonl  params.msgpack  result.json
                         diagnosis-start.json  diagnosis-end.json  diverged.json  failure.json
RUN/checkpoints/         while it trains
"""

import contextlib
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rnnjax.errors import UserError
from rnnjax.runs.json_io import read_json, write_json
from rnnjax.runs.lock import LOCK, run_lock

BEGINNINGS = {LOCK, "members", "environment.json", "environment.json.partial", "config.json.partial"}  # before a kill
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "tensorflow-datasets")


@contextlib.contextmanager
def run_folder(
    out: str | None,
    config: dict[str, Any],
    devices: list[str],
    *,
    resume: bool,
    difference: Callable[[dict[str, Any]], list[str]],
) -> Iterator[Path]:
    """A new folder with config and environment in it, or that of a run to be continued; no one else works in it.

    A new folder in which no member has begun when an error ends the run is taken back, as far as it was made.

    Args:
        out: where; None makes ``runs/<experiment>-<date>-<time>``.
        config: {"experiment": name, "flags": its settings}, as JSON has them.
        devices: one line a device.
        resume: whether to continue the run that is in the folder, where there is one.
        difference: lines that say how another config differs from this one in what is computed.

    Raises:
        UserError: the folder holds something else, cannot be written, or another process works in it.
    """
    if resume and out is None:
        raise UserError("--resume wants the folder of the run that is to be continued; name it with --out.")
    folder = Path(out) if out else Path("runs") / f"{config['experiment']}-{datetime.now():%Y%m%d-%H%M%S}"
    above: list[Path] = []
    with contextlib.ExitStack() as stack:
        try:
            _refuse_what_is_there(folder, resume)
            above = [parent for parent in folder.parents if not parent.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(run_lock(folder))
            begun = (folder / "config.json").exists()
            if begun:
                _refuse_what_is_there(folder, resume)
                _refuse_another(folder, difference)
            (folder / "members").mkdir(exist_ok=True)
            environment = _environment(devices)
            if begun:
                environment = _resumed(folder / "environment.json", environment)
            write_json(folder / "environment.json", environment)
            if not begun:
                write_json(folder / "config.json", config)
        except OSError as error:
            with contextlib.suppress(OSError):
                if not (folder / "config.json").exists():  # it is written last
                    _discard(folder, above)
            raise UserError(
                f"The output folder {folder} cannot be written ({error.strerror}); give one that can with --out."
            ) from None
        try:
            yield folder
        except BaseException:
            if not begun and not any((folder / "members").iterdir()):
                _discard(folder, above)
            raise


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that vanishes, for a process that takes part and whose records nobody needs."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "members").mkdir()
        yield Path(folder)


def _refuse_what_is_there(folder: Path, resume: bool) -> None:
    if folder.is_file():
        raise UserError(f"The output folder {folder} is a file; give another folder with --out.")
    if (folder / "config.json").exists():
        if not resume:
            raise UserError(
                f"The output folder {folder} already holds a run; continue it with --resume, give another with --out, "
                "or remove it first."
            )
    elif folder.is_dir() and any(entry.name not in BEGINNINGS for entry in folder.iterdir()):
        raise UserError(f"The output folder {folder} is not empty; give another with --out, or remove it first.")


def _refuse_another(folder: Path, difference: Callable[[dict[str, Any]], list[str]]) -> None:
    differing = difference(read_json(folder / "config.json"))
    if differing:
        raise UserError(
            f"The run in {folder} was started with other flags ({'; '.join(differing)}); give the same, or another "
            "folder with --out."
        )


def _discard(folder: Path, above: list[Path]) -> None:
    """Take back what was made, for a start that failed before anything was trained, and the folders made ``above``."""
    with contextlib.suppress(OSError):  # what else lies there stays, and the error that brought us here is said
        for name in ("config.json", "environment.json"):
            (folder / name).unlink(missing_ok=True)
        if (folder / "members").exists():
            (folder / "members").rmdir()
        (folder / LOCK).unlink(missing_ok=True)
        for made in (folder, *above):
            made.rmdir()


def _resumed(path: Path, environment: dict[str, Any]) -> dict[str, Any]:
    """What was written of the run's beginning, where it still is, and ``environment``, in which it goes on."""
    before = read_json(path) if path.exists() else {}
    resumed = before.get("resumed", [])
    if not isinstance(resumed, list):
        raise UserError(f"'{path}' is damaged, expected a list under resumed; remove it, or run again.")
    return before | {"resumed": [*resumed, environment]}


def _environment(devices: list[str]) -> dict[str, Any]:
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "python": platform.python_version(),
        **{package: version(package) for package in PACKAGES},
        "platform": platform.platform(),
        "cpu_cores": os.cpu_count(),
        "devices": devices,
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    """The commit of this code, with "+changes" where the tree differs from it; None outside of git."""
    here = Path(__file__).parent
    try:
        command = ["git", "status", "--porcelain=v2", "--branch"]
        lines = subprocess.check_output(command, cwd=here, stderr=subprocess.DEVNULL, text=True).splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid")), None)
    dirty = any(not line.startswith("#") for line in lines)
    return commit and commit + ("+changes" if dirty else "")
