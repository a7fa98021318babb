"""What the scans of a loss read, and the gradients at their results: enough to follow a gradient step by step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr

from rnnjax.scans.equations import inner_programs, is_differentiable
from rnnjax.scans.evaluate import Added, evaluate
from rnnjax.scans.sites import Site
from rnnjax.typing import PyTree

Arrays = list[Any]


class ScanRun(NamedTuple):
    """One run of a scan, its T steps in the order in which they are computed.

    ``ct_final`` and ``ct_ys`` are the gradients at the final carry and at the outputs, None where an array is not
    differentiable.
    """

    body: ClosedJaxpr
    length: int
    consts: Arrays
    carry: Arrays  # before the first step
    xs: Arrays  # (T, ...)
    ct_final: Arrays
    ct_ys: Arrays  # (T, ...)

    def step(self, carry: Sequence[Any], xs_t: Sequence[Any], taps: Sequence[Any] = ()) -> tuple[Arrays, Arrays]:
        """The new carry and the outputs of one step; ``taps`` are added to the carry where it is made."""
        results, _ = evaluate(self.body, [*self.consts, *carry, *xs_t], {}, taps)
        return results[: len(self.carry)], results[len(self.carry) :]

    def carries(self) -> Arrays:
        """The carry before each step, (T, ...)."""

        def step(carry: Arrays, xs_t: Arrays) -> tuple[Arrays, Arrays]:
            return self.step(carry, xs_t)[0], carry

        before: Arrays
        _, before = jax.lax.scan(step, self.carry, self.xs, length=self.length)
        return before


@dataclass(frozen=True)
class ScanCall:
    """A scan of a loss, with the arrays of all its runs: it runs once for each step of the scans around it."""

    site: Site
    body: ClosedJaxpr
    arrays: tuple[Arrays, ...]  # consts, carry, xs, ct_final and ct_ys, as in ``ScanRun``, of all runs

    def of_each_run(self, function: Callable[[ScanRun], PyTree]) -> PyTree:
        """``function`` of every run, one after the other; its results stacked, (R, ...)."""
        if not self.site.outer:
            return jax.tree.map(lambda a: a[None], function(self.run()))
        varying, fill = self._split()
        return jax.lax.map(lambda arrays: function(fill(arrays)), varying)

    def run(self, index: jax.Array | int = 0) -> ScanRun:
        """One of the runs, in the order of the steps of the scans around it."""
        varying, fill = self._split()
        return fill([a[index] for a in varying])

    @property
    def shared_consts(self) -> frozenset[int]:
        """The constants of the body that are the same in all runs, by index."""
        consts = zip(self.arrays[0], self._ranks(), strict=False)
        return frozenset(i for i, (a, rank) in enumerate(consts) if a.ndim == rank)

    def _split(self) -> tuple[list[jax.Array], Callable[[list[Any]], ScanRun]]:
        """The arrays that vary over runs, (R, ...), and the function that makes a run of those of one."""
        leaves, tree = jax.tree.flatten(self.arrays)
        ranks = self._ranks()
        varies = [a.ndim > rank for a, rank in zip(leaves, ranks, strict=True)]
        varying = [self._merge(a, rank) for a, rank, own in zip(leaves, ranks, varies, strict=True) if own]

        def fill(of_run: list[Any]) -> ScanRun:
            own = iter(of_run)
            filled = [next(own) if varies_here else a for a, varies_here in zip(leaves, varies, strict=True)]
            consts, carry, xs, ct_final, ct_ys = jax.tree.unflatten(tree, filled)
            if self.site.reverse:
                xs, ct_ys = jax.tree.map(lambda a: a[::-1], (xs, ct_ys))
            return ScanRun(self.body, self.site.length, consts, carry, xs, ct_final, ct_ys)

        return varying, fill

    def _ranks(self) -> list[int]:
        """The number of axes that each array has in one run."""
        consts, carry, xs = self._inputs()
        ct_final, ct_ys = self.arrays[3:]
        ys = [v.aval for v in self.body.jaxpr.outvars[len(carry) :]]
        ranks = [a.ndim for a in (*consts, *carry)] + [a.ndim + 1 for a in xs]
        ranks += [a.ndim for a, ct in zip(carry, ct_final, strict=True) if ct is not None]
        return ranks + [a.ndim + 1 for a, ct in zip(ys, ct_ys, strict=True) if ct is not None]

    def _inputs(self) -> tuple[list[Any], list[Any], list[Any]]:
        """Shapes of what the body reads: constants, carry, and one step of xs."""
        avals = [v.aval for v in self.body.jaxpr.invars]
        consts, carry = len(self.arrays[0]), len(self.arrays[1])
        return avals[:consts], avals[consts : consts + carry], avals[consts + carry :]

    def _merge(self, a: jax.Array, rank: int) -> jax.Array:
        """The axes of the scans around this one as one axis; those that an array lacks are the innermost ones."""
        lead, own = a.shape[: a.ndim - rank], a.shape[a.ndim - rank :]
        missing = (1,) * (len(self.site.outer) - len(lead))
        whole = jnp.broadcast_to(a.reshape(*lead, *missing, *own), (*self.site.outer, *own))
        return whole.reshape(prod(self.site.outer), *own)


def backpropagate(
    program: ClosedJaxpr, sites: Sequence[Site], arguments: Sequence[Any]
) -> tuple[jax.Array, tuple[ScanCall, ...]]:
    """The losses of a program, and the calls of all scans that can be seen with the gradients of the sum of its losses.

    Args:
        program: its only result are the losses; from ``trace``.
        sites: of the program.
        arguments: of the program, flat.
    """
    seen = [site for site in sites if site.hidden is None and site.layer is None]
    equations = {site.path: _equation(program, site.path) for site in seen}

    def zeros(site: Site) -> Added:
        avals = [v.aval for v in equations[site.path].outvars]
        return Added(
            results=[jnp.zeros((*site.outer, *a.shape), a.dtype) if is_differentiable(a) else None for a in avals]
        )

    def total(added: dict[Any, Added]) -> tuple[jax.Array, Any]:
        (losses,), records = evaluate(program, arguments, added)
        return losses.sum(), (losses, records)

    gradients, (losses, records) = jax.grad(total, has_aux=True)({site.path: zeros(site) for site in seen})
    calls = []
    for site in seen:
        results, carried = gradients[site.path].results, len(site.carry)
        (body,) = inner_programs(equations[site.path])
        read = jax.tree.map(jnp.asarray, records[site.path])  # constants of a program may be numbers of Python
        calls.append(ScanCall(site, body, (*read, results[:carried], results[carried:])))
    return losses, tuple(calls)


def _equation(program: ClosedJaxpr, path: tuple[int, ...]) -> Any:
    """The equation at a path."""
    *outer, last = path
    for i, k in zip(outer[::2], outer[1::2], strict=True):
        program = inner_programs(program.jaxpr.eqns[i])[k]
    return program.jaxpr.eqns[last]
