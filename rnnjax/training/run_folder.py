"""One folder a run: what was asked, on what it ran, and for each trained member what came of it.

RUN/config.json  environment.json  vocabulary.json  figures/  report.html  table.csv
RUN/members/lstm-seed0/  member.json  metrics.jsonl  gradients.jsonl  params.msgpack  result.json
                         diagnosis-start.json  diagnosis-end.json  diverged.json
"""

import contextlib
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rnnjax.errors import UserError
from rnnjax.training.records import write_json

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "tensorflow-datasets")


def create_run_folder(out: str | None, experiment: str, flags: dict[str, Any], devices: list[str]) -> Path:
    """Make the folder and write config and environment into it.

    Args:
        out: where; None makes ``runs/<experiment>-<date>-<time>``.
        experiment: name of the experiment.
        flags: its settings, as JSON has them.
        devices: one line a device.

    Raises:
        UserError: the folder already holds something, or cannot be written.
    """
    folder = Path(out) if out else Path("runs") / f"{experiment}-{datetime.now():%Y%m%d-%H%M%S}"
    try:
        if folder.is_file():
            raise UserError(f"The output folder {folder} is a file; give another folder with --out.")
        if folder.is_dir() and any(folder.iterdir()):
            what = "already holds a run" if (folder / "config.json").exists() else "is not empty"
            raise UserError(f"The output folder {folder} {what}; give another with --out, or remove it first.")
        (folder / "members").mkdir(parents=True, exist_ok=True)
        write_json(folder / "environment.json", _environment(devices))
        write_json(folder / "config.json", {"experiment": experiment, "flags": flags})
    except OSError as error:
        raise UserError(
            f"The output folder {folder} cannot be written ({error.strerror}); give one that can with --out."
        ) from None
    return folder


def discard_run_folder(folder: Path) -> None:
    """Take back what ``create_run_folder`` made, for a start that failed before anything was trained."""
    with contextlib.suppress(OSError):  # what else lies there stays, and the error that brought us here is said
        for name in ("config.json", "environment.json"):
            (folder / name).unlink()
        (folder / "members").rmdir()
        folder.rmdir()


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
        commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=here, stderr=subprocess.DEVNULL, text=True)
        dirty = subprocess.check_output(["git", "status", "--porcelain"], cwd=here, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.strip() + ("+changes" if dirty else "")
