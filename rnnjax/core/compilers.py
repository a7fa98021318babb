"""What a program must contain for one compiler of XLA and not for another, chosen when the program is lowered.

``for_platform`` traces a function with either ``Compiler``. Which of the two a program is made of is decided when it is
lowered, by the platform that it is lowered for, so ``jax.jit(f).trace(...).lower(lowering_platforms=("tpu",))`` gives
a TPU's program on any machine.

Times are of two cores of an AMD EPYC with AVX-512; docs/benchmarks.md has more.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from rnnjax.cells import ElementwiseCell
from rnnjax.core.chunks import MOST_RAGGED_STEPS, equal_chunks, scan_range
from rnnjax.core.scan import ScanInputs, map_steps, mask_padding
from rnnjax.typing import PyTree

CACHE_BYTES = 2**20  # of gate inputs that are worked on while they are in a CPU core's cache
FEWEST_STEPS = 8  # in a chunk, or its products would be too small


def for_platform(function: Callable[..., Any], *arguments: PyTree) -> Any:
    """``function(compiler, *arguments)`` as the platform needs it that the program is lowered for.

    Args:
        function: of a ``Compiler`` and arrays; returns arrays of the same shapes and dtypes for either.
        arguments: arrays, in any nesting.
    """
    return jax.lax.platform_dependent(*arguments, cpu=partial(function, XLA_CPU), default=partial(function, OTHERS))


@dataclasses.dataclass(frozen=True)
class Compiler:
    """Work-arounds for XLA's compilers: all methods on a CPU; elsewhere ``features_first`` alone, for TPUs.

    An optimization barrier would say most of it, but the CPU's compiler removes barriers before it decides what to fuse
    and what to copy.
    """

    is_cpu: bool

    def depend_on(self, first: PyTree, then: PyTree) -> PyTree:
        """``then`` as it is, computed after the arrays of ``first``.

        What is replaced in a loop while something else still reads it would be copied first: with Adam's moments
        ordered after the parameters a step takes 3% less. One number of each array of ``first`` is compared in a
        condition that never holds, which the compiler does not know.

        Args:
            first: arrays of floating-point numbers, or None.
            then: arrays.
        """
        if not self.is_cpu:
            return then
        for values in jax.tree.leaves(first):
            then = _unless(values.ravel()[0] < -jnp.inf, then)
        return then

    def depend_on_rows(self, first: PyTree, then: PyTree) -> PyTree:
        """``depend_on`` for arrays whose batch may be divided over devices: each example waits for itself.

        Args:
            first: arrays (..., N, *) of floating-point numbers, or None.
            then: arrays (N, H).
        """
        if not self.is_cpu:
            return then
        for values in jax.tree.leaves(first):
            then = _unless(values[(0,) * (values.ndim - 2)][:, :1] < -jnp.inf, then)
        return then

    def separate_gates(
        self, cell: ElementwiseCell, z_x: jax.Array, z_h: jax.Array, m: jax.Array, *own: PyTree
    ) -> jax.Array | None:
        """The gates of a step, to be carried along though nothing reads them; None elsewhere.

        They are then computed in passes of their own. The whole of a GRU's step, with tanh of several columns, would
        become one loop, which is not vectorised: 26.7 ms instead of 12.1 for 200 steps of (32, 128).
        """
        return cell.gate_values(z_x, z_h, m, *own) if self.is_cpu else None

    def materialized(self, a: jax.Array) -> jax.Array:
        """``a``, with its axes in another order than in memory, as an array of its own, or products would be slower."""
        return jax.lax.optimization_barrier(a) if self.is_cpu else a

    def features_first(self, rows: jax.Array) -> jax.Array:
        """``rows`` (K, N, F) as (F, K, N), for a product with F rows; what the loop before wrote stays as it was.

        Without the barrier, a compiler for TPUs lets the loop write an array as that product reads it, in bfloat16 and
        with the steps between N and F: 218 of the 378 bundles of an LSTM's step, (32, 500, 128) on a TPU v5e.
        """
        if self.is_cpu:
            return self.materialized(jnp.moveaxis(rows, -1, 0))
        return jnp.moveaxis(jax.lax.optimization_barrier(rows), -1, 0)

    def loop_inputs(
        self, inputs: ScanInputs, steps: int, chunk: int
    ) -> tuple[ScanInputs, int, Callable[[PyTree], PyTree]]:
        """What the loops run over: the inputs, the steps in a chunk, and a function that completes the outputs.

        On a CPU, and wherever they need not run over all steps, they run over chunks of ``chunk`` steps, and so also
        over the steps that were appended to fill the last one. Otherwise they run over the T = ``steps`` steps at once,
        and the outputs are padded with zeros to the same shapes.
        """
        if self.is_cpu or (inputs.span is not None and chunk < steps):
            return mask_padding(inputs, steps), chunk, lambda outputs: outputs
        missing = inputs.xs.shape[0] - steps

        def restore(outputs: PyTree) -> PyTree:
            return jax.tree.map(lambda a: jnp.pad(a, [(0, missing), (0, 0), (0, 0)]) if missing else a, outputs)

        return map_steps(lambda a: a[:steps], inputs), steps, restore

    def scan(self, body: Callable[..., Any], carry: Any, inputs: PyTree, count: jax.Array | None) -> Any:
        """``lax.scan(body, carry, inputs)``, on a CPU only over the first ``count`` () steps, where it is not None.

        The outputs of the other steps are then zeros: 4% less time for a training step on texts of different length.
        """
        if count is None or not self.is_cpu:
            return jax.lax.scan(body, carry, inputs)
        return scan_range(body, carry, inputs, 0, count)

    def scan_backwards(
        self,
        body: Callable[..., Any],
        carry: tuple[Any, Any],
        inputs: PyTree,
        outputs: PyTree,
        count: jax.Array | None,
    ) -> Any:
        """``lax.scan(body, carry, inputs, reverse=True)`` in which no carry is copied, over the steps of ``scan``.

        The outputs of a step read the old carry, so the new one waits for them.

        Args:
            body: as ``lax.scan`` wants it.
            carry: a pair, of which the first, arrays (N, H), is read by the outputs.
            inputs: arrays (T, ...).
            outputs: arrays (T, N, *) of the shapes and dtypes of all outputs, whatever their values.
            count: see ``scan``.
        """
        if not self.is_cpu:
            return jax.lax.scan(body, carry, inputs, reverse=True)
        steps = jax.tree.leaves(inputs)[0].shape[0] if count is None else count

        def step(k: Any, loop: Any) -> Any:
            carry, stacked = loop
            # unsigned, or each use would ask whether it counts from the end; without jit, k is a Python integer
            t = jnp.asarray(steps - 1 - k).astype(jnp.uint32)
            row = jax.tree.map(lambda a: jax.lax.dynamic_index_in_dim(a, t, keepdims=False), inputs)
            carry, new = body(carry, row)
            stacked = jax.tree.map(lambda a, b: jax.lax.dynamic_update_index_in_dim(a, b, t, 0), stacked, new)
            return (self.depend_on_rows(stacked, carry[0]), carry[1]), stacked

        return jax.lax.fori_loop(0, steps, step, (carry, jax.tree.map(jnp.zeros_like, outputs)))


def _unless(never: jax.Array, then: PyTree) -> PyTree:
    """``then``, or zeros where ``never`` is true."""
    return jax.tree.map(lambda a: jnp.where(never, jnp.zeros_like(a), a), then)


XLA_CPU, OTHERS = Compiler(is_cpu=True), Compiler(is_cpu=False)


def chunk_length(cell: ElementwiseCell, xs: jax.Array, *, ragged: bool = False) -> int:
    """Steps of xs (T, N, D) whose gate inputs fit into a core's cache; of ``ragged`` examples, also few.

    See ``equal_chunks``; ``pad_steps`` appends what is missing. All steps where T or N is a symbol of ``jax.export``.
    """
    steps, rows, _ = xs.shape
    if not all(isinstance(size, int) for size in (steps, rows)):
        return steps
    bytes_a_step = rows * len(cell.gates) * cell.features * cell.state_dtype.itemsize
    most = max(FEWEST_STEPS, CACHE_BYTES // bytes_a_step)
    return equal_chunks(steps, min(most, MOST_RAGGED_STEPS) if ragged else most)
