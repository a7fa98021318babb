"""The types of arrays whose batch is divided over devices: explicit sharding, and ``shard_map``."""

from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from rnnjax.typing import PyTree


def explicit_sharding(a: Any) -> NamedSharding | None:
    """How ``a`` is divided over the explicit axes of a mesh, as its type says; None where no mesh has such axes."""
    sharding = jax.typeof(a).sharding
    return sharding if AxisType.Explicit in sharding.mesh.axis_types else None


def divide_alike(of_steps: PyTree, of_examples: PyTree, axis: int = 1) -> tuple[PyTree, PyTree]:
    """Under explicit sharding, divide every array as the first one is whose batch is divided; else as they are.

    A scan must not change the type of its carry, so a state that is not divided cannot meet inputs that are.

    Args:
        of_steps: arrays (T, N, ...), whose steps stay undivided.
        of_examples: arrays (N, ...).
        axis: of the examples in ``of_steps``.
    """
    arrays = [(a, i) for tree, i in ((of_steps, axis), (of_examples, 0)) for a in jax.tree.leaves(tree)]
    shardings = [(sharding, i) for a, i in arrays if (sharding := explicit_sharding(a)) is not None]
    divided = [(sharding.mesh, sharding.spec[i]) for sharding, i in shardings if sharding.spec[i] is not None]
    if not divided:
        return of_steps, of_examples
    mesh, over = divided[0]

    def divide(tree: PyTree, spec: P) -> PyTree:
        return jax.tree.map(lambda a: jax.sharding.reshard(a, NamedSharding(mesh, spec)), tree)

    return divide(of_steps, P(*[None] * axis, over)), divide(of_examples, P(over))


def varying_axes(a: Any) -> frozenset[str]:
    """Inside ``shard_map`` with its check of them, the mesh axes that an array, or one of its type, varies over."""
    kind: Any = a if isinstance(a, jax.core.ShapedArray) else jax.typeof(a)
    if hasattr(kind, "manual_axis_type"):
        return frozenset(kind.manual_axis_type.varying)
    return frozenset(kind.vma)  # jax < 0.10


def vary_alike(tree: PyTree) -> PyTree:
    """Inside ``shard_map``, mark every array as varying over all mesh axes that any of them varies over.

    A scan's carry and a custom backward pass must not change that type. The gradient of a shared parameter needs a sum
    over devices, which JAX then adds outside of them.
    """
    return vary_over(tree, frozenset().union(*map(varying_axes, jax.tree.leaves(tree))))


def vary_over(tree: PyTree, axes: frozenset[str]) -> PyTree:
    """Inside ``shard_map``, mark every array as varying over these mesh axes."""

    def vary(a: jax.Array) -> jax.Array:
        missing = tuple(axes - varying_axes(a))
        if not missing:
            return a
        if hasattr(jax.lax, "pcast"):
            return jax.lax.pcast(a, missing, to="varying")
        return jax.lax.pvary(a, missing)  # type: ignore[attr-defined]  # its name before jax 0.8

    return jax.tree.map(vary, tree)
