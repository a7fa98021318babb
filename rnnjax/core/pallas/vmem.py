"""How many steps of a recurrence a kernel holds in a TPU's VMEM at once, and whether it holds any.

A kernel may use 16 MiB of VMEM on a v5e. The backward loop needs more of it than the forward loop:

    W_h and its transpose, the state, its gradient and what else all steps share
    K steps of what each step reads and writes, twice: one block is computed while another is copied
    what the compiler does not keep in registers: up to five times z of one step in all programs that were compiled

Rows and columns are filled up to whole registers of 8 × 128 numbers.
"""

import jax
import jax.numpy as jnp

from rnnjax.cells import ElementwiseCell
from rnnjax.core.chunks import equal_chunks

VMEM_BYTES = 16 * 2**20
MOST_STEPS = 10  # in a block: with 20, an LSTM of 128 units needs 0.96 of the time a step, and twice that to compile
SPILLED = 6  # arrays like z of one step
ONE_PASS = (None, "default", "fastest", "bfloat16")  # jax_default_matmul_precision that multiplies as bfloat16 on TPUs


def product_dtype(cell: ElementwiseCell) -> jnp.dtype:
    """The dtype of W_h in a kernel: as XLA does by default, a TPU multiplies float32 as bfloat16."""
    dtype = jnp.dtype(cell.dtype or cell.param_dtype)
    one_pass = jax.config.jax_default_matmul_precision in ONE_PASS  # type: ignore[attr-defined]
    return jnp.dtype(jnp.bfloat16) if dtype == jnp.float32 and one_pass else dtype


def bytes_needed(cell: ElementwiseCell, rows: int, block: int) -> int:
    """The VMEM that the backward loop needs for ``rows`` = N examples and blocks of ``block`` = K steps.

    With lengths, resets, taps, zoneout and dropout: a kernel without them needs less.
    """
    units, states = cell.features, len(cell.State._fields)
    packed = len(cell.gates) * units

    def array(rows: int, columns: int, dtype: jnp.dtype = cell.state_dtype) -> int:
        return -(-rows // 8) * 8 * -(-columns // 128) * 128 * dtype.itemsize

    weights = array(units, packed, product_dtype(cell)) + array(packed, units, product_dtype(cell))
    of_z, of_state, column = array(rows, packed), array(rows, units), array(rows, 1)
    step = of_z * (2 if cell.additive else 3) + of_state * (4 * states + 1) + column
    shared = weights * cell.recurrent_kernel + of_state * (5 * states + 1) + 2 * column + 4 * array(1, packed)
    return shared + 2 * block * step + SPILLED * of_z


def steps_of_block(cell: ElementwiseCell, steps: int, rows: int) -> int:
    """K, so that blocks of K steps fit; see ``equal_chunks``."""
    fits = [k for k in range(1, MOST_STEPS + 1) if bytes_needed(cell, rows, k) <= VMEM_BYTES]
    return equal_chunks(steps, max(fits, default=1))


def check_fits(cell: ElementwiseCell, rows: int) -> None:
    """Raise ValueError unless blocks of one step fit into VMEM."""
    needed = bytes_needed(cell, rows, 1)
    if needed > VMEM_BYTES:
        raise ValueError(
            f"backend='pallas' keeps W_h and a step of all examples in {VMEM_BYTES >> 20} MiB of a TPU's VMEM, but "
            f"{type(cell).__name__}({cell.features}) with {rows} examples needs {needed / 2**20:.1f} MiB; use "
            "backend='scan', or fewer units or examples"
        )
