"""Checks of arguments before anything is compiled: type, dtype, shape and, where they are known, values.

Every check raises ValueError with the argument's name, what it must be, and what was given. Inside a transformation of
JAX an array has a shape and a dtype but no values, so values are not checked there.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rnnjax.typing import PyTree


def is_array(value: Any) -> bool:
    """Whether ``value`` is an array of JAX, traced or not, or of NumPy."""
    return isinstance(value, jax.Array | np.ndarray)


def is_integer(value: Any) -> bool:
    """Whether ``value`` is an integer of Python or NumPy; booleans do not count."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def describe(value: Any) -> str:
    """A short description of ``value`` for an error message."""
    if is_array(value):
        return f"{value.dtype} of shape {value.shape}"
    if value is None or isinstance(value, str | int | float | np.generic):
        return repr(value)
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


def concrete_values(array: Any) -> np.ndarray | None:
    """The values of an array; None where it is traced or partly on devices of another process."""
    if isinstance(array, jax.core.Tracer) or not getattr(array, "is_fully_addressable", True):
        return None
    return np.asarray(array)


def check_array(name: str, value: Any, axes: str) -> None:
    """An array with these ``axes``, as in "(T, ..., D)", where dots stand for any number of axes; no axis is empty."""
    if not is_array(value):
        raise ValueError(f"{name} must be an array {axes}, got {describe(value)}")
    names = axes.strip("(,)").split(", ")
    fewest = len(names) - ("..." in names)
    if value.ndim < fewest or ("..." not in names and value.ndim > fewest):
        raise ValueError(f"{name} must be {axes}, got {describe(value)}")
    check_byte_order(name, value)
    if any(isinstance(size, int) and size == 0 for size in value.shape):
        raise ValueError(f"{name} must be {axes} without an axis of length 0, got {describe(value)}")


def check_floats(name: str, value: Any, axes: str) -> None:
    """An array of floating-point numbers, see ``check_array``."""
    if is_array(value) and not jnp.issubdtype(value.dtype, jnp.floating):
        hint = ""
        if jnp.issubdtype(value.dtype, jnp.integer):
            hint = "; look word ids up in an embedding, or convert numbers with .astype(jnp.float32)"
        raise ValueError(f"{name} must hold floating-point numbers, got {describe(value)}{hint}")
    check_array(name, value, axes)


def check_integers(name: str, value: Any, shape: tuple[int, ...], least: int, most: int | None = None) -> None:
    """An array of integers of this shape, from ``least`` to ``most``; for the shape () also a Python integer."""
    value = np.asarray(value) if is_integer(value) else value
    if not is_array(value) or not jnp.issubdtype(value.dtype, jnp.integer):
        raise ValueError(f"{name} must be an array of integers of shape {shape}, got {describe(value)}")
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {value.shape}")
    check_byte_order(name, value)
    values = concrete_values(value)
    if values is None or values.size == 0:
        return
    wrong = values[(values < least) | (values > (values.max() if most is None else most))]
    if wrong.size:
        span = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be {span}, got {wrong[0]}")


def check_byte_order(name: str, value: Any) -> None:
    """An array in the byte order of this machine, which files such as HDF5 and NetCDF may not have."""
    if not value.dtype.isnative:
        raise ValueError(
            f"{name} must be in the byte order of this machine, got {value.dtype.str} of shape {value.shape}; convert "
            f"it with .astype({value.dtype.name!r})"
        )


def as_int32(lengths: Any) -> jax.Array:
    """Lengths as int32: unsigned ones wrap around below 0, and strict promotion compares only equal dtypes."""
    return jnp.asarray(lengths).astype(jnp.int32)


def check_lengths(lengths: Any, batch_shape: tuple[int, ...], steps: int) -> None:
    """Valid steps of each example of a batch, from 0 to ``steps``."""
    if lengths is not None:
        check_no_mask(lengths)
        check_integers("lengths", lengths, batch_shape, 0, steps)


def check_no_mask(lengths: Any) -> None:
    """Lengths that are no mask over the steps, such as Keras has, of which some have no lengths."""
    if not is_array(lengths) or lengths.dtype != bool:
        return
    given = f"lengths must be the number of valid steps of each example, got a mask of shape {lengths.shape}"
    mask = concrete_values(lengths)
    if mask is not None and mask.ndim == 2 and (gaps := mask[:, 1:] & ~mask[:, :-1]).any():
        row = int(gaps.any(axis=1).argmax())
        raise ValueError(
            f"{given} in which a step that is left out comes before a valid one (row {row}, step "
            f"{int(gaps[row].argmax())}); every step up to the length is read here, so remove the steps between, or "
            "pad at the end (padding='post' in Keras), and give the number of those that remain"
        )
    raise ValueError(f"{given}; give mask.sum(axis=1) if the mask is (B, T) and what it leaves out stands at the end")


def check_shape(name: str, value: Any, shape: tuple[int, ...]) -> None:
    """An array of this shape."""
    if not is_array(value):
        raise ValueError(f"{name} must be an array of shape {shape}, got {describe(value)}")
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {value.shape}")


def check_integer(name: str, value: Any, least: int, most: int | None = None) -> None:
    """A whole number from ``least`` to ``most``."""
    if not is_integer(value) or value < least or (most is not None and value > most):
        span = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {span}, got {describe(value)}")


def check_rate(name: str, value: Any) -> None:
    """A rate of dropout: at least 0 and below 1."""
    if not is_number(value) or not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {describe(value)}")


def check_finite(name: str, value: Any) -> None:
    """A finite number."""
    if not is_number(value) or not np.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {describe(value)}")


def is_number(value: Any) -> bool:
    """Whether ``value`` is a real number of Python or NumPy; booleans do not count."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def check_dtype(name: str, value: Any) -> None:
    """A floating-point dtype, or its name."""
    try:
        fits = bool(jnp.issubdtype(jnp.dtype(value), jnp.floating))
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"{name} must be a floating-point dtype such as jnp.float32, got {value!r}")


def check_key(key: Any) -> None:
    """A single random key of JAX, typed or legacy (uint32, of the default implementation)."""
    new = is_array(key) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim == 0
    if not new and not (is_array(key) and key.dtype == jnp.uint32 and key.ndim == 1):
        raise ValueError(f"key must be one key from jax.random.key, got {describe(key)}")
    raw = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))).shape
    if not new and key.shape != raw:
        raise ValueError(
            f"key must be a raw key of JAX's default generator, shape {raw}, or a key from jax.random.key, got "
            f"{describe(key)}; make keys of another generator with jax.random.key(seed, impl=...)"
        )


def per_layer(name: str, value: PyTree, layers: int) -> tuple[PyTree, ...]:
    """``value`` as a tuple with an entry for each layer; where it is None, a tuple of None."""
    if value is None:
        return (None,) * layers
    if not isinstance(value, tuple | list) or hasattr(value, "_fields") or len(value) != layers:
        given = f"a {type(value).__name__} of {len(value)}" if type(value) in (tuple, list) else describe(value)
        raise ValueError(f"{name} must be a tuple with one entry for each of {layers} layers, got {given}")
    return tuple(value)
