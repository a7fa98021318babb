"""Weights of the recurrent cells of ``flax.linen``."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict

from rnnjax.cells import GRU, LSTM, Cell, SimpleRNN
from rnnjax.interop.convert import build, check_mapping, check_shapes, pack, to_array
from rnnjax.typing import ModelParams


class Layout(NamedTuple):
    """The dense layers of a cell of flax; their names are i or h, followed by the gate."""

    name: str
    cell: type[Cell]
    gates: tuple[str, ...]  # flax's names, in the order of rnnjax
    biased: frozenset[str]  # names of the dense layers with a bias


LAYOUTS = (
    Layout("SimpleCell", SimpleRNN, ("",), frozenset({"i"})),
    Layout("LSTMCell", LSTM, ("i", "f", "g", "o"), frozenset({"hi", "hf", "hg", "ho"})),
    Layout("GRUCell", GRU, ("r", "z", "n"), frozenset({"ir", "iz", "in", "hn"})),
)


def from_linen(params: Mapping[str, Any], *, activation: str = "tanh") -> tuple[nn.Module, ModelParams]:
    """Import a cell of ``flax.linen``: ``SimpleCell``, ``LSTMCell``, ``OptimizedLSTMCell`` or ``GRUCell``.

        module, params = from_linen(variables["params"])
        final, ys = module.apply({"params": params}, xs)

    flax has a dense layer for each gate, whose kernels (in, H) are concatenated here: the LSTM's i, f, g, o, and the
    GRU's r, z, n as r, u, n, where z is u, the keep gate. The bias of ``SimpleCell`` is added to the product with x and
    that of the LSTMs to the product with h; both become b. ``GRUCell`` has biases for x, which become b, and a bias for
    h for n only; b_h is zero for r and u, where its gradient equals that of b. All other gradients are arranged like
    their weights, so they can be converted in the same way.

    Args:
        params: the cell's parameters, or those of a module with no others, such as ``nn.RNN(cell)``.
        activation: of ``SimpleCell``, "tanh" or "relu". All other options are assumed to be flax's defaults:
            ``gate_fn`` sigmoid, ``residual=False``.

    Returns:
        ``rnnjax.RNN`` and its parameters, of the dtype of the weights.

    Raises:
        ValueError: parameters of another cell, missing or too many, shapes that do not fit together, or an
            ``activation`` that the cell does not have.
    """
    check_mapping("params", params, "the parameters of one cell, as in variables['params']")
    while len(params) == 1 and isinstance(inner := next(iter(params.values())), Mapping):
        params = inner
    for layout in LAYOUTS:
        if set(params) == {side + gate for side in "ih" for gate in layout.gates}:
            break
    else:
        raise ValueError(
            f"No cell of flax that can be imported ({', '.join(layout.name for layout in LAYOUTS)}) has the "
            f"parameters {', '.join(map(repr, params)) or 'of an empty dict'}; give those of one cell."
        )
    flat = flatten_dict(dict(params), sep="/")
    arrays = {name: to_array(name, value) for name, value in flat.items()}
    first = arrays.get(f"i{layout.gates[0]}/kernel", np.zeros((0, 0)))
    inputs, features = (*first.shape, 0, 0)[:2]
    shapes: dict[str, tuple[int, ...]] = {}
    for gate in layout.gates:
        shapes |= {f"i{gate}/kernel": (inputs, features), f"h{gate}/kernel": (features, features)}
    shapes |= {f"{dense}/bias": (features,) for dense in layout.biased}
    check_shapes(arrays, shapes, f"flax's {layout.name}")

    def concatenated(side: str, kind: str) -> np.ndarray:
        zeros = np.zeros(features, arrays[f"h{layout.gates[0]}/kernel"].dtype)
        return np.concatenate([arrays.get(f"{side}{gate}/{kind}", zeros) for gate in layout.gates], axis=-1)

    packed = [concatenated(side, kind) for kind in ("kernel", "bias") for side in "ih"]
    return build([[(layout.cell, pack(layout.cell, *packed))]], activation)
