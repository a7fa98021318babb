"""The parts of equations in traced programs (jaxprs) that the versions of JAX from 0.7 on have in common."""

import re
import sysconfig
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal

CALLS = {"jit", "pjit", "closed_call", "core_call"}  # their program is evaluated in their place
CHECKPOINTS = {"checkpoint", "remat2", "remat"}
NAMES = {  # of primitives, as the user wrote them
    "custom_jvp_call": "jax.custom_jvp",
    "custom_vjp_call": "jax.custom_vjp",
    "custom_vjp_call_jaxpr": "jax.custom_vjp",
    "pallas_call": "a Pallas kernel",
    "rnn_fwd": "cuDNN's recurrent layer",
    "shard_map": "jax.shard_map",
    "while": "a while loop",
    "xla_pmap": "jax.pmap",
}
LIBRARIES = ("jax", "jaxlib", "flax", "haiku", "equinox", "rnnjax")  # whose files are not the user's


class ScanParts(NamedTuple):
    """The inputs of a scan's equation, or its outer variables, in its three groups."""

    consts: list[Any]
    carry: list[Any]
    xs: list[Any]


def bind(eqn: JaxprEqn, inputs: Sequence[Any]) -> list[Any]:
    """Results of an equation of other inputs."""
    bound: Any = eqn.primitive.get_bind_params(eqn.params)
    functions, params = bound if isinstance(bound, tuple) else ((), bound)  # a tuple before jax 0.10
    with eqn.ctx.manager:
        results: Any = eqn.primitive.bind(*functions, *inputs, **params)
    return list(results) if eqn.primitive.multiple_results else [results]


def inner_programs(eqn: JaxprEqn) -> list[ClosedJaxpr]:
    """The programs among the parameters of an equation."""
    values = [v for value in eqn.params.values() for v in (value if isinstance(value, tuple | list) else [value])]
    closed = [ClosedJaxpr(v, ()) if isinstance(v, Jaxpr) else v for v in values]
    return [v for v in closed if isinstance(v, ClosedJaxpr)]


def scan_parts(eqn: JaxprEqn, inputs: Sequence[Any]) -> ScanParts:
    """``inputs`` of a scan, one for each of its input variables, as constants, carry and xs."""
    if "ft_in" in eqn.params:  # in newer versions of jax
        consts, carried, _ = (len(list(part)) for part in eqn.params["ft_in"].unpack())
    else:
        consts, carried = eqn.params["num_consts"], eqn.params["num_carry"]
    return ScanParts(list(inputs[:consts]), list(inputs[consts : consts + carried]), list(inputs[consts + carried :]))


def is_differentiable(a: Any) -> bool:
    """Whether an array or its shape is of real or complex numbers, so that there is a gradient with respect to it."""
    return jnp.issubdtype(a.dtype, jnp.inexact)


def is_literal(atom: Any) -> bool:
    """Whether an operand is a constant and not a variable."""
    return isinstance(atom, Literal)


def scope(eqn: JaxprEqn) -> str:
    """The names of the modules around an equation, as "Model/encoder/rnn"; "" where there are none."""
    names, rest = str(eqn.source_info.name_stack), None
    while names != rest:  # transformations stand in the names, as in "vmap(Model)/rnn"
        names, rest = re.sub(r"\w+\(([^()]*)\)", r"\1", names), names
    return names


def caller(eqn: JaxprEqn) -> str:
    """Where the user's program calls what the equation computes, as "model.py:41"; "" where it is not known."""
    frame = next((frame for frame in _frames(eqn) if not _is_library(frame.file_name)), None)
    return "" if frame is None else f"{Path(frame.file_name).name}:{frame.line_num}"


def is_traced_in(eqn: JaxprEqn, function: str) -> bool:
    """Whether an equation was traced inside of a call of the ``function`` of JAX."""
    return any(frame.function_name == function and _is_library(frame.file_name) for frame in _frames(eqn))


def is_traced_at(eqn: JaxprEqn, file_name: str, first_line: int) -> bool:
    """Whether an equation was traced in the function that begins at a line of a file."""
    return any(frame.file_name == file_name and frame.function_start_line == first_line for frame in _frames(eqn))


def _frames(eqn: JaxprEqn) -> list[Any]:
    """The calls of Python, innermost first, in which an equation was traced."""
    traceback: Any = eqn.source_info.traceback
    return [] if traceback is None else list(traceback.frames)


@cache
def _is_library(file_name: str) -> bool:
    """Whether a file is of Python, of JAX, or of a library of networks, and not the user's."""
    path = Path(file_name)
    if "site-packages" not in path.parts and path.is_relative_to(sysconfig.get_path("stdlib")):
        return True
    return any(path.is_relative_to(folder) for folder in _library_folders())


@cache
def _library_folders() -> tuple[Path, ...]:
    specs = (find_spec(name) for name in LIBRARIES)
    return tuple(Path(spec.origin).parent for spec in specs if spec is not None and spec.origin is not None)
