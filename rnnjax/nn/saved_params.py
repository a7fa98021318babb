"""Reads the parameters of a trained model from a file."""

from pathlib import Path

import flax.linen as nn
import flax.serialization
import jax
import numpy as np

from rnnjax.errors import UserError
from rnnjax.regular_files import read_regular
from rnnjax.typing import ModelParams

MOST_BYTES = 1 << 33  # of a file of parameters
MOST_NAMES = 1 << 20  # bytes of a file of parameters beside its numbers


def read_params(model: nn.Module, path: Path, features: int = 0) -> ModelParams:
    """Parameters read back, and compared in name and shape with those that ``model`` has.

    Args:
        model: that was trained.
        path: of the file.
        features: numbers of a step where the model reads no ids; 0 takes them from the first input kernel w_x.

    Raises:
        UserError: they are damaged, or of another model.
    """
    reads_ids = bool(getattr(model, "vocabulary", 0))
    try:
        expected = _expected(model, np.zeros((1, 1), np.int32)) if reads_ids else None
        numbers = sum(array.size * array.dtype.itemsize for array in jax.tree.leaves(expected))
        limit = min(2 * numbers + MOST_NAMES, MOST_BYTES) if reads_ids else MOST_BYTES
        content = read_regular(path, limit, follow_links=False)
        params = flax.serialization.msgpack_restore(content)
        if expected is None:
            expected = _expected(model, np.zeros((1, 1, features or _features(params)), np.float32))
        if jax.tree.map(np.shape, params) == jax.tree.map(np.shape, expected):
            return params
        what = "their shapes are not those of the run's flags and vocabulary"
    except (ValueError, TypeError, LookupError, AttributeError, OSError, OverflowError, RecursionError) as error:
        what = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
    raise UserError(f"The parameters in '{path}' are damaged ({what}); remove the folder around them or run again.")


def _expected(model: nn.Module, inputs: np.ndarray) -> ModelParams:
    """Shapes and dtypes of the parameters of ``model`` for such inputs."""
    return jax.eval_shape(model.init, jax.random.key(0), inputs)["params"]


def _features(params: ModelParams) -> int:
    """The numbers of a step, which the first input kernel reads."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return next((np.shape(leaf)[0] for keys, leaf in leaves if keys[-1].key == "w_x"), 1)
