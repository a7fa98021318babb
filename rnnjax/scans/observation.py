"""``rnnjax.observe``: the gradient at every step of every scan of a function, which need not be changed for it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr

from rnnjax.argument_checks import check_byte_order, describe, is_array
from rnnjax.core.batch_sharding import vary_over
from rnnjax.nn.layer_marks import TAPS, marking
from rnnjax.scans.evaluate import Added, evaluate
from rnnjax.scans.sites import Site, find_sites
from rnnjax.typing import PyTree

SiteTaps = dict[str, tuple[jax.Array | None, ...]]


class Observation(NamedTuple):
    """What ``observe(fun)(*args)`` returns.

    Attributes:
        tapped: ``tapped(taps, *args)`` is ``fun(*args)`` where the taps are zero.
        taps: zeros, by the name of each site that can be seen: an array (outer..., T, ...) for each array of its carry,
            None for one that is not differentiable.
        sites: all scans of ``fun``, also those that cannot be seen.
    """

    tapped: Callable[..., PyTree]
    taps: SiteTaps
    sites: tuple[Site, ...]


def observe(fun: Callable[..., PyTree]) -> Callable[..., Observation]:
    """Make the carries of all scans in ``fun`` visible to ``jax.grad``.

        tapped, taps, sites = rnnjax.observe(loss)(params, batch)
        gradients = jax.grad(tapped)(taps, params, batch)

    ``gradients[site.name]`` then holds, for each array of the carry of that scan, the total derivative ∂L/∂carry_t at
    every step t, with all paths through later steps and through what the scan outputs: (outer..., T, ...), where
    ``outer`` are the lengths of the scans around it. Together with the gradient of the parameters it takes one
    backward pass: ``jax.grad(tapped, argnums=(0, 1))``.

    Args:
        fun: any function that JAX can trace: of plain JAX, Flax, Equinox, Haiku. Its scans may stand inside
            ``jax.jit``, ``jax.vmap``, ``jax.checkpoint``, ``lax.cond`` and other scans. Layers of ``rnnjax.RNN`` are
            seen through their own taps.

    Returns:
        A function of the arguments of ``fun``, which traces it and returns ``Observation``. It may be called inside
        of ``jax.jit``, for example in a training step.

    Raises:
        ValueError: ``fun`` is not a function; from the returned function, an argument holds something that is no array.
    """
    if not callable(fun):
        raise ValueError(f"fun must be a function, got {describe(fun)}")

    def observed(*args: PyTree, **kwargs: PyTree) -> Observation:
        _check_arrays(args, kwargs)
        program, shapes = trace(fun, *args, **kwargs)
        sites = find_sites(program)
        expected = _structure(args, kwargs)
        seen = {site.name: site for site in sites if site.hidden is None}

        def tapped(taps: SiteTaps, *args: PyTree, **kwargs: PyTree) -> PyTree:
            if _structure(args, kwargs) != expected:
                raise ValueError(
                    "tapped is made for arguments of the shapes and dtypes that observe was called with; call observe "
                    "again"
                )
            if not isinstance(taps, Mapping):
                raise ValueError(f"taps must be a dict like that of observe, got {describe(taps)}")
            if unknown := taps.keys() - seen.keys():
                raise ValueError(f"taps has {min(unknown)!r}, which is no site; there are {', '.join(seen) or 'none'}")
            for name, of_site in taps.items():
                _check_taps(name, of_site, seen[name])
            at_paths = {seen[name].path: Added(of_site) for name, of_site in taps.items()}
            results, _ = evaluate(program, jax.tree.leaves((args, kwargs)), at_paths)
            return jax.tree.unflatten(jax.tree.structure(shapes), results)

        return Observation(tapped, {name: _zero_taps(site) for name, site in seen.items()}, sites)

    return observed


def trace(fun: Callable[..., PyTree], *args: PyTree, **kwargs: PyTree) -> tuple[ClosedJaxpr, PyTree]:
    """A function as a program in which layers of rnnjax can be seen, and the shapes of its results."""
    with marking(TAPS):
        traced: tuple[ClosedJaxpr, PyTree] = jax.make_jaxpr(fun, return_shape=True)(*args, **kwargs)
    return traced


def _structure(*arguments: PyTree) -> tuple[PyTree, list[tuple[tuple[int, ...], Any]]]:
    leaves, tree = jax.tree.flatten(arguments)
    return tree, [(kind.shape, kind.dtype) for kind in map(jax.typeof, leaves)]


def _zero_taps(site: Site) -> tuple[jax.Array | None, ...]:
    leading = (*site.outer, site.length)
    arrays = zip(site.carry, site.varying, strict=True)
    return tuple(None if a is None else vary_over(jnp.zeros((*leading, *a.shape), a.dtype), axes) for a, axes in arrays)


def _check_taps(name: str, of_site: Any, site: Site) -> None:
    """Raise ValueError unless ``of_site`` has an array like those of ``observe`` for each array of the carry."""
    expected = [None if a is None else ((*site.outer, site.length, *a.shape), a.dtype) for a in site.carry]
    if not isinstance(of_site, tuple | list) or len(of_site) != len(expected):
        raise ValueError(f"taps[{name!r}] must have {len(expected)} arrays or None, got {describe(of_site)}")
    for i, (a, wanted) in enumerate(zip(of_site, expected, strict=True)):
        if a is not None and (not is_array(a) or (a.shape, a.dtype) != wanted):
            wanted_text = "None" if wanted is None else f"{wanted[1].name} of shape {wanted[0]}"
            raise ValueError(f"taps[{name!r}][{i}] must be {wanted_text}, got {describe(a)}")


def _check_arrays(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for name, tree in (*((f"argument {i}", arg) for i, arg in enumerate(args)), *kwargs.items()):
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            if isinstance(leaf, np.ndarray):
                check_byte_order(f"{name}{jax.tree_util.keystr(path)}", leaf)
            try:
                jax.typeof(leaf)
            except TypeError:
                raise ValueError(
                    f"{name}{jax.tree_util.keystr(path)} must be an array, got {describe(leaf)}; leave it out of the "
                    "arguments, as in rnnjax.observe(lambda params, batch: loss(params, batch, config))"
                ) from None
