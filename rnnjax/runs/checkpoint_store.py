"""Checkpoints of a group of runs: written in the background by Orbax, whole or not at all, verified when read.

FOLDER/800/           that of step 800, as Orbax lays it out, with a checksum of every file in ``sha256.json``
FOLDER/800.partial/   one that is being written; Orbax adds to this name as long as it writes
FOLDER/damaged-800/   one that was found damaged and set aside
"""

import contextlib
import errno
import functools
import hashlib
import json
import os
import shutil
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rnnjax.errors import UserError
from rnnjax.runs.json_io import write_json
from rnnjax.runs.orbax_logging import quiet_orbax

SUMS = "sha256.json"
FULL = {number: os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT)}


class Restored(NamedTuple):
    """A checkpoint read back."""

    step: int
    arrays: Any  # of the structure asked for, numpy
    told: dict[str, Any]


class CheckpointStore(contextlib.AbstractContextManager["CheckpointStore"]):
    """The newest checkpoints of one group of runs; a context manager that closes itself.

    Args:
        folder: where they lie; made by the first save. Of several JAX processes only the first may have a store.
        keep: how many of the newest are kept, at least 1.
        warn: is given one sentence for each checkpoint that is found damaged.
    """

    def __init__(self, folder: Path, *, keep: int, warn: Callable[[str], None]) -> None:
        self._folder, self._keep, self._warn = folder, keep, warn
        self._thread = ThreadPoolExecutor(1)
        self._saving: Future[None] | None = None
        self._open = contextlib.ExitStack()
        self._remove_unfinished()

    @functools.cached_property
    def _orbax(self) -> Any:
        """What writes and reads; half a second to import, so not before there is something to do."""
        import orbax.checkpoint as ocp

        alone = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0})  # wait for no other process
        # Should making a folder fail, then at once: in the background it would leave other threads waiting for minutes.
        at_once = ocp.options.AsyncOptions(create_directories_asynchronously=False)
        self._open.enter_context(quiet_orbax())
        return self._open.enter_context(ocp.StandardCheckpointer(async_options=at_once, multiprocessing_options=alone))

    def save(self, step: int, arrays: Any, told: dict[str, Any]) -> None:
        """Write ``arrays``, a tree of numpy arrays that is copied, and ``told``, JSON values, in the background.

        The save before is waited for. Where a checkpoint of ``step`` is there already, nothing is done. Raises
        UserError where this one, or the one before, could not be written.
        """
        self.wait()
        if step in self._steps():
            return
        about = {"step": step, "told": json.loads(json.dumps(told)), "arrays": _kinds(arrays)}
        with self._user_error(step):
            self._orbax.save(self._path(f"{step}.partial"), _numbered(jax.tree.leaves(arrays)), custom_metadata=about)
        self._saving = self._thread.submit(self._finish, step)

    def wait(self) -> None:
        """Until the save in progress is durable; UserError where it could not be written."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def restore(self, like: Any) -> Restored | None:
        """The newest that is whole and like the arrays or ShapeDtypeStructs of ``like``; others are set aside."""
        self.wait()
        restored, damaged = None, {}
        for step in reversed(self._steps()):
            try:
                restored = self._read(step, like)
                break
            except Exception as error:  # damage shows itself in many ways
                damaged[step] = _reason(error)
                names = (f"damaged-{step}{number}" for number in ("", *range(-2, -1000, -1)))
                self._path(step).rename(next(path for path in map(self._path, names) if not path.exists()))
        instead = "training starts anew" if restored is None else f"continuing from that of step {restored.step}"
        for step, reason in damaged.items():
            self._warn(f"The checkpoint of step {step} in {self._folder} is damaged ({reason}); {instead}.")
        return restored

    def discard(self) -> None:
        """Remove them all and the folder, of a group that has finished."""
        with contextlib.suppress(UserError):  # nobody needs the one in progress
            self.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Wait for the save in progress and end Orbax's threads; raises as ``wait`` does."""
        try:
            self.wait()
        finally:
            self._thread.shutdown()
            self._open.close()

    def _path(self, name: int | str) -> Path:
        return self._folder.absolute() / str(name)

    def _steps(self) -> list[int]:
        return sorted(int(path.name) for path in self._folder.glob("*") if path.name.isdecimal() and path.is_dir())

    def _remove_unfinished(self) -> None:
        for path in self._folder.glob("*.partial*"):
            shutil.rmtree(path, ignore_errors=True)

    def _finish(self, step: int) -> None:
        """See one through that Orbax is writing; then those before it that are too many go."""
        with self._user_error(step):
            self._orbax.wait_until_finished()
            partial = self._path(f"{step}.partial")
            write_json(partial / SUMS, _checksums(partial))
            partial.rename(self._path(step))
        for old in self._steps()[: -self._keep]:
            shutil.rmtree(self._path(old), ignore_errors=True)

    def _read(self, step: int, like: Any) -> Restored:
        """That of ``step``; an exception of any kind where it is not exactly what was saved, or unlike ``like``."""
        path = self._path(step)
        differing = json.loads((path / SUMS).read_bytes()).items() ^ _checksums(path).items()
        if differing:
            raise ValueError(f"{min(differing)[0]} is not as it was written")
        about = self._orbax.metadata(path).custom_metadata
        if (about["step"], about["arrays"]) != (step, _kinds(like)):
            raise ValueError("it holds other arrays than this run has")
        leaves, structure = jax.tree.flatten(jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), like))
        stored = self._orbax.restore(path, _numbered(leaves))
        leaves = [stored.get(str(number), empty) for number, empty in enumerate(leaves)]
        return Restored(step, jax.tree.unflatten(structure, leaves), about["told"])

    @contextlib.contextmanager
    def _user_error(self, step: int) -> Iterator[None]:
        """What goes wrong inside becomes a UserError, and what lies there of the checkpoint goes."""
        try:
            yield
        except Exception as error:  # of any type: Orbax and its threads wrap what the system says
            self._remove_unfinished()
            steps = self._steps()
            left = f"that of step {steps[-1]} is kept" if steps else "there is none before it"
            trouble = "is full" if _says_full(error) else f"cannot be written ({_reason(error)})"
            raise UserError(
                f"The disk at {self._folder} {trouble}, the checkpoint of step {step} could not be written, {left}; "
                f"{'free space' if trouble == 'is full' else 'mend that'} and continue with --resume."
            ) from error


def _kinds(tree: Any) -> list[list[Any]]:
    named = jax.tree_util.tree_leaves_with_path(tree)
    return [[jax.tree_util.keystr(path), str(leaf.dtype), *leaf.shape] for path, leaf in named]


def _numbered(leaves: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {str(number): leaf for number, leaf in enumerate(leaves) if leaf.size}  # Orbax refuses empty ones


def _checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below ``folder``, each made durable."""
    sums = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / SUMS:
            with path.open("rb") as file:
                os.fsync(file.fileno())
                sums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


def _says_full(error: BaseException | None) -> bool:
    """Whether a full disk or a quota is behind an error, however it is wrapped."""
    if error is None:
        return False
    inner = (error.__cause__, error.__context__, *getattr(error, "exceptions", ()))
    said = getattr(error, "errno", None) in FULL or any(text in str(error) for text in FULL.values())
    return said or any(map(_says_full, inner))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or textwrap.shorten(str(error), 160) or type(error).__name__
