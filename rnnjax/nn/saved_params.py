"""Reads the parameters of a trained model from a file."""

from pathlib import Path

import flax.linen as nn
import flax.serialization
import jax
import numpy as np

from rnnjax.errors import UserError
from rnnjax.regular_files import read_regular
from rnnjax.typing import ModelParams

MOST_BYTES = 1 << 33  # of a file


def read_params(model: nn.Module, path: Path) -> ModelParams:
    """Parameters read back, and compared in name and shape with those that ``model`` has.

    Raises:
        UserError: they are damaged, or of another model.
    """
    try:
        params = flax.serialization.msgpack_restore(read_regular(path, MOST_BYTES, follow_links=False))
        if jax.tree.map(np.shape, params) == jax.tree.map(np.shape, _expected(model, params)):
            return params
        what = "their shapes are not those of the run's flags and vocabulary"
    except (ValueError, TypeError, LookupError, AttributeError, OSError, RecursionError) as error:
        what = getattr(error, "strerror", None) or str(error) or type(error).__name__
    raise UserError(f"The parameters in '{path}' are damaged ({what}); remove the folder around them or run again.")


def _expected(model: nn.Module, params: ModelParams) -> ModelParams:
    """Shapes of the parameters of ``model``; for the features that it reads see the input kernels in ``params``."""
    if getattr(model, "vocabulary", 0):
        return jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 1), np.int32))["params"]
    leaves = jax.tree_util.tree_leaves_with_path(params)
    features = next(np.shape(leaf)[0] for keys, leaf in leaves if keys[-1].key == "w_x")
    return jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 1, features), np.float32))["params"]
