"""The only file that knows devices: what runs where, and how a pure function becomes a program."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax


def place(tree: Any) -> Any:
    """The arrays of ``tree`` on the device, where programs find them without a transfer."""
    return jax.device_put(tree)


def compile_programs(
    functions: Mapping[Any, tuple[Callable[..., Any], tuple[Any, ...], tuple[int, ...]]],
) -> dict[Any, Any]:
    """Compile several functions at once, side by side, ahead of their first call.

    Args:
        functions: name -> (pure function, example arguments, positions of the arguments whose memory the
            program may reuse for its results).

    Returns:
        name -> a program to call with arguments of the same shapes and dtypes.
    """

    def compiled(entry: tuple[Callable[..., Any], tuple[Any, ...], tuple[int, ...]]) -> Any:
        function, arguments, donated = entry
        return jax.jit(function, donate_argnums=donated).lower(*arguments).compile()

    pool = ThreadPoolExecutor()
    try:
        return dict(zip(functions, pool.map(compiled, functions.values()), strict=True))
    finally:  # after Ctrl-C, what has not begun to compile need not
        pool.shutdown(wait=False, cancel_futures=True)


def describe_devices() -> list[str]:
    """One line a device, the one that programs run on first."""
    return [f"{device.platform}:{device.id} {device.device_kind}" for device in jax.local_devices()]
