"""The parameters of a cell."""

from typing import NamedTuple

import jax


class Params(NamedTuple):
    """Parameters of one cell; kernels are (in, G·H), gates in the cell's order."""

    w_x: jax.Array  # (D, G·H)
    w_h: jax.Array  # (H, G·H)
    b: jax.Array  # (G·H,) added to z^x
    b_h: jax.Array | None = None  # (G·H,) added to z^h, only where the cell treats z^x and z^h differently
