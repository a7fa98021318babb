"""Checkpoints of an ensemble: written in the background by Orbax, whole or not at all, verified when read.

FOLDER/800/           the checkpoint of step 800, in Orbax's layout, with a checksum of every file in ``sha256.json``
FOLDER/800.partial/   one that is being written; Orbax adds to this name while it writes
FOLDER/damaged-800/   one that was damaged when it was to be read, and was renamed
"""

import contextlib
import errno
import functools
import hashlib
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from rnnjax.errors import UserError
from rnnjax.regular_files import check_no_link, open_regular, read_regular
from rnnjax.runs.json_io import write_json
from rnnjax.runs.orbax_logging import quiet_orbax
from rnnjax.typing import JSONObject, PyTree

CHECKSUMS = "sha256.json"
MOST_CHECKSUMS, MOST_METADATA = 1 << 24, 1 << 26  # bytes, of that file and of what Orbax writes beside the arrays
DISK_FULL = {number: os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT)}


class Restored(NamedTuple):
    """A checkpoint read back."""

    step: int
    arrays: PyTree  # numpy, in the structure of the restore's template
    metadata: JSONObject


class CheckpointStore(contextlib.AbstractContextManager["CheckpointStore"]):
    """The newest checkpoints of one ensemble; a context manager that closes itself.

    Args:
        folder: of the checkpoints; made by the first save. Of several JAX processes only the first may have a store.
        keep: how many of the newest are kept, at least 1.
        warn: called with one sentence for each damaged checkpoint.

    Raises:
        OSError: ``folder``, or the one around it, is a symbolic link or no folder.
    """

    def __init__(self, folder: Path, *, keep: int, warn: Callable[[str], None]) -> None:
        for path in (folder.parent, folder):
            check_no_link(path)
        self._folder, self._keep, self._warn = folder, keep, warn
        self._thread = ThreadPoolExecutor(1)
        self._saving: Future[None] | None = None
        self._open = contextlib.ExitStack()
        self._remove_unfinished()

    @functools.cached_property
    def _orbax(self) -> Any:
        """Orbax's checkpointer, imported at its first use since that takes half a second."""
        import orbax.checkpoint as ocp

        one_process = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0})  # wait for no other
        # Folders are made in this thread: where that fails in the background, other threads wait for minutes.
        synchronous_folders = ocp.options.AsyncOptions(create_directories_asynchronously=False)
        self._open.enter_context(quiet_orbax())
        return self._open.enter_context(
            ocp.StandardCheckpointer(async_options=synchronous_folders, multiprocessing_options=one_process)
        )

    def save(self, step: int, arrays: PyTree, metadata: JSONObject) -> None:
        """Write a checkpoint in the background, after the one before is durable.

        Args:
            step: nothing is done where there is a checkpoint of this step already.
            arrays: a tree of numpy arrays, which is copied.
            metadata: what else the caller needs to go on from here.

        Raises:
            UserError: this checkpoint, or the one before, could not be written.
        """
        self.wait()
        if step in self._steps():
            return
        description = {"step": step, "metadata": json.loads(json.dumps(metadata)), "arrays": _leaf_types(arrays)}
        leaves = _numbered(jax.tree.leaves(arrays))
        with self._user_error(step):
            self._orbax.save(self._path(f"{step}.partial"), leaves, custom_metadata=description)
        self._saving = self._thread.submit(self._finish, step)

    def wait(self) -> None:
        """Wait until the save in progress is durable; UserError where it could not be written."""
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def restore(self, template: PyTree) -> Restored | None:
        """The newest checkpoint that is whole and has the arrays of ``template``; newer ones that are not are renamed.

        Args:
            template: arrays or ShapeDtypeStructs in the structure, shapes and dtypes of the saved ones.
        """
        self.wait()
        restored, damaged = None, {}
        for step in reversed(self._steps()):
            try:
                restored = self._read(step, template)
                break
            except Exception as error:  # damaged files raise errors of many types
                damaged[step] = _reason(error)
                names = (f"damaged-{step}{number}" for number in ("", *range(-2, -1000, -1)))
                self._path(step).rename(next(path for path in map(self._path, names) if not path.exists()))
        instead = "training starts anew" if restored is None else f"continuing from that of step {restored.step}"
        for step, reason in damaged.items():
            self._warn(f"The checkpoint of step {step} in {self._folder} is damaged ({reason}); {instead}.")
        return restored

    def discard(self) -> None:
        """Remove the folder with all checkpoints, when the ensemble has finished."""
        with contextlib.suppress(UserError):  # the save in progress is not needed any more
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
        folders = (path for path in self._folder.glob("*") if path.is_dir() and not path.is_symlink())
        return sorted(int(path.name) for path in folders if path.name.isdecimal())

    def _remove_unfinished(self) -> None:
        for path in self._folder.glob("*.partial*"):
            shutil.rmtree(path, ignore_errors=True)

    def _finish(self, step: int) -> None:
        """Complete the checkpoint that Orbax is writing, and remove the oldest ones beyond the number to keep."""
        with self._user_error(step):
            self._orbax.wait_until_finished()
            partial = self._path(f"{step}.partial")
            write_json(partial / CHECKSUMS, _checksums(partial))
            partial.rename(self._path(step))
        for old in self._steps()[: -self._keep]:
            shutil.rmtree(self._path(old), ignore_errors=True)

    def _read(self, step: int, template: PyTree) -> Restored:
        """The checkpoint of ``step``; an exception of any type where it is damaged or unlike ``template``."""
        path = self._path(step)
        written = json.loads(read_regular(path / CHECKSUMS, MOST_CHECKSUMS, follow_links=False))
        size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(template))
        differing = written.items() ^ _checksums(path, limit=2 * size + MOST_METADATA).items()
        if differing:
            raise ValueError(f"{min(differing)[0]} is not as it was written")
        description = self._orbax.metadata(path).custom_metadata
        if (description["step"], description["arrays"]) != (step, _leaf_types(template)):
            raise ValueError("it holds other arrays than this run has")
        leaves, structure = jax.tree.flatten(jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), template))
        stored = self._orbax.restore(path, _numbered(leaves))
        leaves = [stored.get(str(number), empty) for number, empty in enumerate(leaves)]
        # older versions have another key for the metadata
        (metadata,) = (value for key, value in description.items() if key not in ("step", "arrays"))
        return Restored(step, jax.tree.unflatten(structure, leaves), metadata)

    @contextlib.contextmanager
    def _user_error(self, step: int) -> Iterator[None]:
        """Turn any error inside into a UserError, and remove the unfinished checkpoint."""
        try:
            yield
        except Exception as error:  # of any type: Orbax and its threads wrap the system's errors
            self._remove_unfinished()
            steps = self._steps()
            kept = f"that of step {steps[-1]} is kept" if steps else "there is none before it"
            trouble = "is full" if _is_disk_full(error) else f"cannot be written ({_reason(error)})"
            raise UserError(
                f"The disk at {self._folder} {trouble}, the checkpoint of step {step} could not be written, {kept}; "
                f"{'free space' if trouble == 'is full' else 'mend that'} and continue with --resume."
            ) from error


def _leaf_types(tree: PyTree) -> list[list[str | int]]:
    """Path, dtype and shape of each leaf, as JSON has them."""
    named = jax.tree_util.tree_leaves_with_path(tree)
    return [[jax.tree_util.keystr(path), str(leaf.dtype), *leaf.shape] for path, leaf in named]


def _numbered(leaves: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {str(number): leaf for number, leaf in enumerate(leaves) if leaf.size}  # Orbax refuses empty ones


def _checksums(folder: Path, limit: int = sys.maxsize) -> dict[str, str]:
    """The SHA-256 of every file below ``folder``, each made durable.

    Raises:
        OSError: one is a symbolic link or no regular file, has more than ``limit`` bytes, or cannot be read.
    """
    sums = {}
    for path in sorted(folder.rglob("*")):
        if (path.is_symlink() or not path.is_dir()) and path != folder / CHECKSUMS:
            with open_regular(path, limit, follow_links=False) as file:
                os.fsync(file.fileno())
                sums[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


def _is_disk_full(error: BaseException | None) -> bool:
    """Whether a full disk or a quota is behind an error, however it is wrapped."""
    if error is None:
        return False
    inner = (error.__cause__, error.__context__, *getattr(error, "exceptions", ()))
    full = getattr(error, "errno", None) in DISK_FULL or any(text in str(error) for text in DISK_FULL.values())
    return full or any(map(_is_disk_full, inner))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or textwrap.shorten(str(error), 160) or type(error).__name__
