"""A run folder at its beginning: made, refused, or gone on with; see ``schema`` for what is in it."""

import contextlib
import itertools
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

import msgspec

from rnnjax.errors import UserError
from rnnjax.regular_files import check_no_link
from rnnjax.runs.codec import encode
from rnnjax.runs.lock import LOCK, lock_folder
from rnnjax.runs.reader import read_config, read_environment
from rnnjax.runs.schema import CONFIG, ENVIRONMENT, MEMBERS, Config, Environment, environment_to_json
from rnnjax.runs.writer import write_config, write_environment

LEFT_BY_A_KILL = {LOCK, MEMBERS, ENVIRONMENT, f"{ENVIRONMENT}.partial", f"{CONFIG}.partial"}  # before the first step
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "tensorflow-datasets")


@contextlib.contextmanager
def run_folder(
    out: str | None,
    config: Config,
    environment: Environment,
    *,
    resume: bool,
    difference: Callable[[Config], list[str]],
) -> Iterator[Path]:
    """A new folder with config and environment in it, or that of a run to be continued, locked against others.

    Where an error ends a new run before any member has begun, all that was made is removed again.

    Args:
        out: path of the folder; None makes ``runs/<experiment>-<date>-<time>``, with a number behind it where another
            run has begun in the same second.
        config: what is to be trained.
        environment: on what this process trains.
        resume: whether to continue the run that is in the folder, where there is one.
        difference: for the config of the run in the folder, a line for each difference from ``config`` that changes
            what is computed.

    Raises:
        UserError: the folder holds something else, cannot be written, or another process works in it.
    """
    if resume and out is None:
        raise UserError("--resume needs the folder of the run to continue; name it with --out.")
    folder = Path(out) if out else Path("runs") / f"{config.experiment}-{datetime.now():%Y%m%d-%H%M%S}"
    is_new, made, new_parents = not out, False, list[Path]()
    with contextlib.ExitStack() as stack:
        try:
            if not is_new:
                _refuse_other_content(folder, resume)
            new_parents = [parent for parent in folder.parents if not parent.exists()]
            folder, made = _make(folder, is_new=is_new), True
            stack.enter_context(lock_folder(folder))
            begun = os.path.lexists(folder / CONFIG)
            if begun:
                _refuse_other_content(folder, resume)
                _refuse_other_flags(folder, difference)
            check_no_link(folder / MEMBERS)
            (folder / MEMBERS).mkdir(exist_ok=True)
            write_environment(folder, _resumed(read_environment(folder), environment) if begun else environment)
            if not begun:
                write_config(folder, config)  # last: a folder without it holds no run
        except OSError as error:
            with contextlib.suppress(OSError):
                if (made or not is_new) and not os.path.lexists(folder / CONFIG):
                    _discard(folder, new_parents)
            raise UserError(
                f"The output folder {folder} cannot be written ({error.strerror}); give one that can with --out."
            ) from None
        try:
            yield folder
        except BaseException:
            if not begun and not any((folder / MEMBERS).iterdir()):
                _discard(folder, new_parents)
            raise


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary run folder, for a process whose records are not kept since the first process writes them."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / MEMBERS).mkdir()
        yield Path(folder)


def _make(folder: Path, *, is_new: bool) -> Path:
    """Make the folder; where it must be new and there is one, that with the next free number behind its name."""
    if not is_new:
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    made, numbers = folder, itertools.count(2)
    while True:
        try:
            made.mkdir(parents=True)
            return made
        except FileExistsError:
            made = folder.with_name(f"{folder.name}-{next(numbers)}")


def _refuse_other_content(folder: Path, resume: bool) -> None:
    """UserError where the folder holds anything but what this call may write over."""
    if folder.is_file():
        raise UserError(f"The output folder {folder} is a file; give another folder with --out.")
    if os.path.lexists(folder / CONFIG):
        if not resume:
            raise UserError(
                f"The output folder {folder} already holds a run; continue it with --resume, give another with --out, "
                "or remove it first."
            )
    elif folder.is_dir() and any(entry.name not in LEFT_BY_A_KILL for entry in folder.iterdir()):
        raise UserError(f"The output folder {folder} is not empty; give another with --out, or remove it first.")


def _refuse_other_flags(folder: Path, difference: Callable[[Config], list[str]]) -> None:
    differing = difference(read_config(folder))
    if differing:
        raise UserError(
            f"The run in {folder} was started with other flags ({'; '.join(differing)}); give the same, or another "
            "folder with --out."
        )


def _discard(folder: Path, new_parents: list[Path]) -> None:
    """Remove what a start made that failed before anything was trained, ``new_parents`` included."""
    with contextlib.suppress(OSError):  # other files stay, and the error that led here is the one to be reported
        for name in (CONFIG, ENVIRONMENT):
            (folder / name).unlink(missing_ok=True)
        if (folder / MEMBERS).exists():
            (folder / MEMBERS).rmdir()
        (folder / LOCK).unlink(missing_ok=True)
        for made in (folder, *new_parents):
            made.rmdir()


def _resumed(first: Environment, current: Environment) -> Environment:
    """The environment of the run's beginning, with the one in which it is continued added to it."""
    return msgspec.structs.replace(first, resumed=(*first.resumed, environment_to_json(encode(current))))


def current_environment(devices: list[str], matmul_precision: str) -> Environment:
    """On what this process trains.

    Args:
        devices: a line for each.
        matmul_precision: of products of float32 matrices, as JAX names it.
    """
    return Environment(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=shlex.join(sys.argv),
        python=platform.python_version(),
        packages={package: version(package) for package in PACKAGES},
        platform=platform.platform(),
        cpu_cores=os.cpu_count(),
        devices=tuple(devices),
        matmul_precision=matmul_precision,
        git_commit=_git_commit(),
    )


def _git_commit() -> str | None:
    """The commit of this code, with "+changes" where the files differ from it; None where git does not know them."""
    source = Path(__file__).parent
    try:
        known = ["git", "ls-files", "--error-unmatch", Path(__file__).name]
        subprocess.check_output(known, cwd=source, stderr=subprocess.DEVNULL)
        command = ["git", "status", "--porcelain=v2", "--branch"]
        lines = subprocess.check_output(command, cwd=source, stderr=subprocess.DEVNULL, text=True).splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid")), None)
    dirty = any(not line.startswith("#") for line in lines)
    return commit and commit + ("+changes" if dirty else "")
