"""Step Jacobians, their products, and Lyapunov exponents of any scan: ``diagnostics`` without a cell."""

from typing import Any

import jax
import jax.numpy as jnp

from rnnjax.analysis.measure import product_lengths
from rnnjax.diagnostics.jacobians import extreme_singular_values
from rnnjax.diagnostics.lyapunov import Lyapunov
from rnnjax.dtypes import promoted
from rnnjax.scans.calls import Arrays, ScanCall, ScanRun
from rnnjax.scans.carries import by_example
from rnnjax.scans.gradient_paths import states


def scan_dynamics(
    call: ScanCall, kept: tuple[int, ...], batch: int | None, counted: jax.Array, resets: jax.Array | None = None
) -> tuple[Lyapunov, jax.Array]:
    """Lyapunov exponents (S,) and products of step Jacobians (P, 2) of the longest example of all runs.

    Both are of the steps that count, (T, N), in their order. Steps before which the state is reset, (T, N), have a
    Jacobian of 0; they do not count in the exponents, which are NaN where no step counts.
    """
    lengths = counted.sum(axis=0, dtype=jnp.int32)
    longest = jnp.argmax(lengths)
    run, b = call.run(longest // (batch or 1)), longest % (batch or 1)
    order = jnp.argsort(~counted[:, longest], stable=True)  # steps that count in front
    length, (carries, xs) = lengths[longest], jax.tree.map(lambda a: a[order], (run.carries(), run.xs))
    counts_here = jnp.arange(run.length, dtype=jnp.int32) < length
    counts_here = counts_here if resets is None else counts_here & ~resets[order, longest]

    def jacobian(carry: Any, xs_t: Any) -> jax.Array:
        return state_jacobian(run, carry, xs_t, kept, batch, b)

    def step(q: jax.Array, inputs: Any) -> tuple[jax.Array, jax.Array]:
        counts_now, carry, xs_t = inputs
        after, triangle = jnp.linalg.qr(jacobian(carry, xs_t) @ q)
        growth = jnp.log(jnp.abs(jnp.diagonal(triangle)))
        return jnp.where(counts_now, after, q), jnp.where(counts_now, growth, 0)

    shape = jax.eval_shape(jacobian, *jax.tree.map(lambda a: a[0], (carries, xs)))
    _, growth = jax.lax.scan(step, jnp.eye(len(shape), dtype=shape.dtype), (counts_here, carries, xs))
    steps_so_far = jnp.maximum(jnp.cumsum(counts_here, dtype=jnp.int32), 1).astype(growth.dtype)
    running = jnp.where(counts_here.any(), jnp.cumsum(growth, axis=0) / steps_so_far[:, None], jnp.nan)

    counts = product_lengths(run.length)
    from_last = jnp.arange(counts[-1], dtype=jnp.int32)
    backward = length - 1 - from_last  # clipped indices end in NaN below
    last = jax.tree.map(lambda a: a[jnp.clip(backward, 0)], (carries, xs))
    jacobians = jax.lax.map(lambda of_step: jacobian(*of_step), last)
    values = extreme_singular_values(jnp.swapaxes(jacobians, -1, -2), counts)  # transposed, J_end is the first factor
    product = jnp.where(length >= jnp.array(counts, jnp.int32)[:, None], jnp.stack(values, axis=-1), jnp.nan)
    return Lyapunov(running[-1], running), product


def state_jacobian(
    run: ScanRun, carry: Arrays, xs_t: Arrays, kept: tuple[int, ...], batch: int | None, b: Any
) -> jax.Array:
    """J_t = ∂(state after the step)/∂(state before it) of one example, (S, S), in single precision at least.

    A complex number counts as two real ones.

    Args:
        run: the scan.
        carry: before the step.
        xs_t: inputs of the step.
        kept: which of the differentiable arrays of the carry make the state. The last one comes first: in Flax's LSTM
            that is h, as in the cells of rnnjax; estimates of Lyapunov exponents on a finite length depend on it.
        batch: number of examples, or None.
        b: index of the example.
    """
    which = states(run)
    before = [carry[i] for i in which]

    def of_example(arrays: Arrays) -> jax.Array:
        rows = [by_example(arrays[k], batch, leading=0) for k in reversed(kept)]
        wide = promoted(*(row.dtype for row in rows))
        return jnp.concatenate([row[jnp.minimum(b, len(row) - 1)].astype(wide) for row in rows])

    def step(incoming: Arrays) -> jax.Array:
        full = list(carry)
        for i, a in zip(which, incoming, strict=True):
            full[i] = a
        new, _ = run.step(full, xs_t)
        return of_example([new[i] for i in which])

    after, vjp = jax.vjp(step, before)
    (rows,) = jax.vmap(vjp)(jnp.eye(len(after), dtype=after.dtype))
    rows = [a.conj() for a in rows]  # JAX's gradient of a real number with respect to x + iy is ∂/∂x - i ∂/∂y
    jacobian = jax.vmap(of_example)(rows)
    return jacobian.astype(promoted(jacobian.dtype, jnp.float32))
