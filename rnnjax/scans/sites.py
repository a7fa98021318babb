"""Where the scans of a traced program stand, and which of them cannot be seen."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

from rnnjax.core.batch_sharding import varying_axes
from rnnjax.nn.layer_marks import LayerInfo, mark_p, read_mark
from rnnjax.scans.dependence import sealed_in
from rnnjax.scans.equations import (
    CALLS,
    CHECKPOINTS,
    NAMES,
    caller,
    inner_programs,
    is_differentiable,
    is_traced_in,
    scan_parts,
    scope,
)

Path = tuple[int, ...]  # the index of an equation in the program, then in the equation's inner program, and so on


@dataclass(frozen=True)
class Site:
    """A ``lax.scan`` of a program, or a call of ``rnnjax.RNN``.

    Attributes:
        name: the Flax or Haiku module that calls it, as "Model/encoder/rnn", else the file and line of the call;
            unique among the sites of a program.
        source: file and line of the user's program, as "model.py:41"; "" where it is not known.
        length: T, the number of its steps.
        carry: shape and dtype of each array of the carry; None for one that is not differentiable (an integer, a key).
            JAX itself takes arrays that are passed on unchanged out of it.
        reverse: whether it runs from its last step to its first.
        outer: lengths of the scans around it, outermost first: it runs once for each of their steps.
        within: what encloses it, outermost first, as "jit train", "checkpoint", "scan of 7 steps", "branch 1 of cond".
        layer: of a call of ``rnnjax.RNN``, its cell; None for a scan.
        hidden: why it cannot be seen, in one sentence, so that there are no taps for it; None where it can.
    """

    name: str
    source: str
    length: int
    carry: tuple[jax.ShapeDtypeStruct | None, ...]
    reverse: bool = False
    outer: tuple[int, ...] = ()
    within: tuple[str, ...] = ()
    layer: LayerInfo | None = None
    hidden: str | None = None
    path: Path = field(default=(), repr=False, compare=False)
    maps: tuple[bool, ...] = field(default=(), repr=False, compare=False)  # which scans around it have no carry
    varying: tuple[frozenset[str], ...] = field(default=(), repr=False, compare=False)  # mesh axes of a shard_map

    def __str__(self) -> str:
        """One line: what the site is, or why it cannot be seen."""
        if self.hidden is not None:
            return f"{self.name}: hidden, {self.hidden}"
        arrays = ", ".join(
            "not differentiable" if a is None else f"{a.dtype.name}[{','.join(map(str, a.shape))}]" for a in self.carry
        )
        around = f" in {', in '.join(reversed(self.within))}" if self.within else ""
        kind = f"{type(self.layer.cell).__name__} of rnnjax" if self.layer else "scan"
        return f"{self.name}: {kind} of {self.length} steps{', reversed' * self.reverse}, carry ({arrays}){around}"


class _Around(NamedTuple):
    """What encloses a program."""

    path: Path = ()
    names: tuple[str, ...] = ()
    outer: tuple[int, ...] = ()
    maps: tuple[bool, ...] = ()
    within: tuple[str, ...] = ()
    hidden: str | None = None


def find_sites(program: ClosedJaxpr) -> tuple[Site, ...]:
    """All sites of a program in its order, hidden ones included.

    Args:
        program: from ``jax.make_jaxpr`` under ``layer_marks.marking(TAPS)``, so that layers of rnnjax are seen.
    """
    sites = list(_find(program.jaxpr, _Around()))
    count: dict[str, int] = {}
    for i, site in enumerate(sites):
        name = site.name or site.source or "scan"
        count[name] = count.get(name, 0) + 1
        sites[i] = replace(site, name=name if count[name] == 1 else f"{name} #{count[name]}")
    return tuple(sites)


def _find(program: Jaxpr, around: _Around) -> Iterator[Site]:
    in_layer = False  # between the two marks of a layer of rnnjax, whose own scans are not the user's
    associative: set[str] = set()
    for i, eqn in enumerate(program.eqns):
        here = around._replace(path=(*around.path, i), names=(*around.names, *filter(None, [scope(eqn)])))
        if eqn.primitive is mark_p:
            in_layer = eqn.params["info"] is not None
            if in_layer:
                yield _layer_site(eqn, here)
        elif in_layer:
            continue
        elif _takes_every_other(eqn) and is_traced_in(eqn, "associative_scan"):
            name = "/".join(here.names) or caller(eqn)
            if name not in associative:
                associative.add(name)
                yield _site(eqn, here, hidden=HIDDEN["associative_scan"])
        else:
            yield from _of_equation(eqn, here)


def _takes_every_other(eqn: JaxprEqn) -> bool:
    """Whether it is a slice of every other element, which an associative scan begins with."""
    return eqn.primitive.name == "slice" and 2 in (eqn.params["strides"] or ())


HIDDEN = {
    "associative_scan": "jax.lax.associative_scan computes all steps at once, so that there is no carry at a step; use "
    "jax.lax.scan to look into it",
    "custom_jvp_call": "it is inside jax.custom_jvp, whose derivative is a function of its own and not that of the "
    "scan; take the decorator away to look into it",
    "custom_vjp_call": "it is inside jax.custom_vjp, whose backward pass is a function of its own and not that of the "
    "scan; take the decorator away to look into it",
    "pallas_call": "it is inside a Pallas kernel, which has no gradient of its steps",
    "rnn_fwd": "cuDNN computes all steps in one call; use the library's plain recurrent layer to look into it",
    "shard_map": "it is inside jax.shard_map or jax.pmap; call rnnjax.observe inside of the mapped function",
    "while": "a while loop (also a fori_loop whose bounds are traced) has no gradient in reverse mode; use "
    "jax.lax.scan, or a fori_loop with constant bounds",
}
HIDDEN["custom_vjp_call_jaxpr"] = HIDDEN["custom_vjp_call"]
HIDDEN["xla_pmap"] = HIDDEN["shard_map"]


def _of_equation(eqn: JaxprEqn, here: _Around) -> Iterator[Site]:
    name = eqn.primitive.name
    if name == "scan":
        carry = [v.aval for v in scan_parts(eqn, eqn.invars).carry]
        if any(map(is_differentiable, carry)):
            yield _site(eqn, here, hidden=here.hidden or _sealed(eqn))
        here = here._replace(outer=(*here.outer, eqn.params["length"]), maps=(*here.maps, not carry))
    elif name == "rnn_fwd" or (name == "while" and any(is_differentiable(v.aval) for v in eqn.outvars)):
        yield _site(eqn, here, hidden=HIDDEN[name])
    if name not in (*CALLS, *CHECKPOINTS, "scan", "cond"):
        reason = HIDDEN.get(name, f"it is inside {NAMES.get(name, name)}, which cannot be looked into")
        here = here._replace(hidden=here.hidden or reason)
    for k, inner in enumerate(inner_programs(eqn)):
        branch = here._replace(path=(*here.path, k), within=(*here.within, _description(eqn, k)))
        yield from _find(inner.jaxpr, branch)


def _sealed(eqn: JaxprEqn) -> str | None:
    """Why nothing can be added to the carry of a scan where its step makes it; None where something can."""
    (body,) = inner_programs(eqn)
    carry = body.jaxpr.outvars[: len(scan_parts(eqn, eqn.invars).carry)]
    sealed = (sealed_in(body.jaxpr, v) for v in carry if is_differentiable(v.aval))
    if (maker := next(filter(None, sealed), None)) is None:
        return None
    name = NAMES.get(maker.primitive.name, f"lax.{maker.primitive.name}")
    return (
        f"its step makes the carry inside {name} and computes another result from it there, where nothing can be added "
        "to it; compute that result after it to look into it"
    )


def _description(eqn: JaxprEqn, k: int) -> str:
    """What the ``k``-th inner program of an equation is inside of."""
    name = eqn.primitive.name
    if name in CALLS:
        return f"jit {eqn.params.get('name', '')}".strip()
    if name in CHECKPOINTS:
        return "checkpoint"
    if name == "scan":
        return f"scan of {eqn.params['length']} steps"
    return f"branch {k} of cond" if name == "cond" else NAMES.get(name, name)


def _site(eqn: JaxprEqn, here: _Around, hidden: str | None) -> Site:
    """The site of a scan, or of what hides one."""
    is_scan = eqn.primitive.name == "scan"
    carry = scan_parts(eqn, eqn.invars).carry if is_scan else []
    return Site(
        name="/".join(here.names),
        source=caller(eqn),
        length=eqn.params["length"] if is_scan else 0,
        carry=tuple(_shape(v.aval) for v in carry),
        reverse=eqn.params["reverse"] if is_scan else False,
        outer=here.outer,
        within=here.within,
        hidden=hidden,
        path=here.path,
        maps=here.maps,
        varying=tuple(varying_axes(v.aval) for v in carry),
    )


def _layer_site(eqn: JaxprEqn, here: _Around) -> Site:
    """The site of a layer of rnnjax, from the mark of its inputs."""
    avals: list[Any] = [v.aval for v in eqn.invars]
    mark = read_mark(avals, **eqn.params)
    _, taps = mark.passed
    info: Any = mark.info
    mapped = len(mark.mapped)  # axes of vmap stand before the time axis of a mark
    shapes = [(*a.shape[:mapped], *a.shape[mapped + 1 :]) for a in taps]
    return Site(
        name="/".join(here.names) or info.name,
        source=caller(eqn),
        length=taps[0].shape[mapped],
        carry=tuple(jax.ShapeDtypeStruct(s, a.dtype) for s, a in zip(shapes, taps, strict=True)),
        reverse=info.reverse,
        outer=here.outer,
        within=here.within,
        layer=info,
        hidden=here.hidden,
        path=here.path,
        maps=here.maps,
        varying=(frozenset[str]().union(*map(varying_axes, avals)),) * len(taps),
    )


def _shape(aval: Any) -> jax.ShapeDtypeStruct | None:
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype) if is_differentiable(aval) else None
