"""States to be kept in checkpoints, and what lies in a folder of them."""

from typing import Any, NamedTuple

import jax
import ml_dtypes
import numpy as np
import pytest

from rnnjax.runs.checkpoint_store import CheckpointStore

METADATA = {"seconds": 0.1, "members": [{"loss": float("inf"), "words": "é'", 1: None}]}


class State(NamedTuple):
    params: Any
    nothing: Any


def state(step):
    """A tree with all that a train state may have in it."""
    draw = np.random.default_rng(step)
    return {
        "weights": State({"w/1": draw.normal(size=(7, 5)), "b": draw.normal(size=300).astype(np.float32)}, None),
        "kinds": (np.array(step, np.int32), np.array(True), np.array([-0.0, np.nan, np.inf, 5e-324])),
        "half": np.arange(3).astype(ml_dtypes.bfloat16),
        "keys": draw.integers(2**32, size=(2, 2), dtype=np.uint32),
        "columns": np.asfortranarray(draw.normal(size=(3, 4))),
        "zeros": np.zeros((4, 4)),
        "empty": (np.zeros((0, 3), np.float32), (), {}, None),
    }


def same(tree, other):
    """Whether two trees are equal to the last bit."""
    leaves, others = jax.tree.leaves(tree), jax.tree.leaves(other)
    return jax.tree.structure(tree) == jax.tree.structure(other) and all(
        type(b) is np.ndarray and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
        for a, b in zip(leaves, others, strict=True)
    )


def filled(folder, *steps, keep=9):
    with CheckpointStore(folder, keep=keep, warn=pytest.fail) as store:
        for step in steps:
            store.save(step, state(step), {"at": step})


def names(folder):
    return sorted(path.name for path in folder.iterdir())
