"""Gradients of an elementwise cell's parameters from those of z, as products over many steps at once."""

from typing import Any

import jax
import jax.numpy as jnp

from rnnjax.cells import ElementwiseCell, Params
from rnnjax.core.batch_sharding import explicit_sharding
from rnnjax.core.compilers import Compiler


def parameter_gradients(
    cell: ElementwiseCell,
    compiler: Compiler,
    params: Params,
    xs: jax.Array,
    h: jax.Array,
    dz_x: jax.Array | None,
    dz_h: jax.Array,
) -> Params:
    """Gradients of the parameters, from those of z at K steps: xs (K, N, D) and h_{t-1} (K, N, H) each times dz.

    Where dz^x and dz^h are one (``dz_x`` None), x and h are stacked for one larger product.
    """

    def pull(rows: jax.Array, w: jax.Array, b: Any, dz: jax.Array) -> tuple[jax.Array, Any]:
        """The pull-back of ``cell.project``, with one transposed copy of the rows and their axes not merged."""
        product = cell.dtype or cell.param_dtype
        features_first = compiler.features_first(rows).astype(product)
        d_w = jax.lax.dot_general(
            features_first, dz, (((1, 2), (0, 1)), ((), ())),
            preferred_element_type=cell.state_dtype, out_sharding=explicit_sharding(w),
        )  # fmt: skip
        d_b = None if b is None else dz.sum(axis=(0, 1)).astype(b.dtype)
        return d_w.astype(product).astype(w.dtype), d_b

    if params.w_h is None:
        d_w_x, d_b = pull(xs, params.w_x, params.b, dz_h)
        return Params(d_w_x, None, d_b)
    if dz_x is not None:
        (d_w_x, d_b), (d_w_h, d_b_h) = pull(xs, params.w_x, params.b, dz_x), pull(h, params.w_h, params.b_h, dz_h)
        return Params(d_w_x, d_w_h, d_b, d_b_h)
    stacked = jnp.concatenate([params.w_x, params.w_h])
    both = jnp.concatenate([a.astype(cell.dtype or cell.param_dtype) for a in (xs, h)], axis=-1)
    d_w, d_b = pull(both, stacked, params.b, dz_h)
    d_w_x, d_w_h = jnp.split(d_w, [len(params.w_x)])
    return Params(d_w_x, d_w_h, d_b, None if params.b_h is None else d_b)
