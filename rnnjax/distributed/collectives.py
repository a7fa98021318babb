"""Values that several processes exchange; with one process all of it costs nothing.

Every function must be called by all processes, in the same order.
"""

import contextlib
import json
from collections.abc import Callable, Iterator

import jax
import numpy as np

from rnnjax.config.execution import SAME_EVERYWHERE, Execution
from rnnjax.errors import UserError
from rnnjax.typing import JSONObject, JSONValue, PyTree

BLOCK = 256  # bytes; texts are padded to multiples, so that few programs are compiled


def gather_values(value: JSONValue) -> list[JSONValue]:
    """The JSON values of all processes, in their order."""
    if not jax.distributed.is_initialized():
        return [value]
    from jax.experimental import multihost_utils

    text = json.dumps(value).encode()
    sizes = multihost_utils.process_allgather(np.int32(len(text))).tolist()
    padded = np.zeros(-(-max(sizes) // BLOCK) * BLOCK, np.uint8)
    padded[: len(text)] = np.frombuffer(text, np.uint8)
    rows = multihost_utils.process_allgather(padded)
    return [json.loads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)]


def broadcast_from_first(value: JSONValue) -> JSONValue:
    """The first process's JSON value for all of them, where theirs could differ and they must act alike."""
    if not jax.distributed.is_initialized():
        return value
    return gather_values(value if jax.process_index() == 0 else None)[0]


def broadcast_checkpoint(
    checkpoint: tuple[int, PyTree, JSONValue] | None, like: PyTree
) -> tuple[int, PyTree, JSONValue]:
    """The first process's (step, arrays, metadata) for all of them; (0, None, None) where it has none.

    Args:
        checkpoint: that of this process; only the first one's counts.
        like: numpy arrays of the shapes and dtypes of ``arrays``.
    """
    step, arrays, metadata = checkpoint or (0, None, None)
    if not jax.distributed.is_initialized():
        return step, arrays, metadata
    exists, step, metadata = broadcast_from_first((checkpoint is not None, step, metadata))
    if not exists:
        return 0, None, None
    from jax.experimental import multihost_utils

    arrays = multihost_utils.broadcast_one_to_all(arrays if jax.process_index() == 0 else like)
    return step, jax.tree.map(np.asarray, arrays), metadata


@contextlib.contextmanager
def first_process_first() -> Iterator[None]:
    """The other processes enter when the first has left, and can read what it has prepared on disk.

    On CPUs they wait for half an hour at most, the time limit of XLA's collective operations.
    """
    if not jax.distributed.is_initialized():
        yield
        return
    if jax.process_index() == 0:
        yield
    wait_for_all("prepared")
    if jax.process_index() > 0:
        yield


def wait_for_all(name: str) -> None:
    """Return when all processes have called this with the same name."""
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices(name)


def require_same_flags(
    config: JSONObject, execution: Execution, difference: Callable[[JSONObject, JSONObject], list[str]]
) -> None:
    """Check that all processes were started with the same flags.

    Args:
        config: flags of the experiment in this process.
        execution: the other flags of this process, of which ``SAME_EVERYWHERE`` are compared.
        difference: one line for each flag that differs between two configs.

    Raises:
        UserError: in all processes, if the flags of one differ from those of the first.
    """
    if not jax.distributed.is_initialized():
        return
    shared = {name: getattr(execution, name) for name in SAME_EVERYWHERE}
    (first, first_shared), *others = gather_values((config, shared))
    for i, (other, other_shared) in enumerate(others, 1):
        lines = difference(first, other)
        for name, value in first_shared.items():
            if other_shared[name] != value:
                lines.append(f"--{name.replace('_', '-')}: {value} and {other_shared[name]}")
        if lines:
            raise UserError(f"Process {i} was started with other flags than the first ({'; '.join(lines)}).")
