"""The machine that is measured on: its description, and the speeds of a matrix product and of memory."""

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("jax", "jaxlib", "flax", "keras", "tensorflow_cpu", "tensorflow", "torch", "equinox", "dm-haiku", "numpy")


def versions() -> dict[str, str]:
    """Package -> version, of the installed packages."""
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def machine() -> str:
    """One line: processor, cores, system, Python."""
    system = f"{platform.system()} {platform.machine()}"
    return f"{_processor()}, {os.cpu_count()} cores, {system}, Python {platform.python_version()}"


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            lines = dict(line.split(":", 1) for line in file if ":" in line)
    except OSError:
        return platform.processor() or "unknown processor"
    fields = {name.strip(): value.strip() for name, value in lines.items()}
    vectors = [flag for flag in ("avx512f", "avx2") if flag in fields.get("flags", "").split()]
    return " ".join([fields.get("model name", "unknown processor"), *vectors[:1]])


def multiply_adds_a_second(size: int = 2048) -> float:
    """Speed of the fastest of a few large matrix products on all cores, an upper bound for every layer."""
    import jax

    a, product = jax.random.normal(jax.random.key(0), (size, size)), jax.jit(lambda a: a @ a)
    return size**3 / _fastest(lambda: product(a).block_until_ready())


def bytes_a_second(size: int = 2**25) -> float:
    """Bytes read and written a second by the fastest of a few in-place sums of two large arrays, on all cores."""
    import jax

    a, b = (jax.random.normal(jax.random.key(i), (size,)) for i in (0, 1))
    add_in_place, result = jax.jit(lambda a, b: a + b, donate_argnums=0), [a]

    def add() -> None:
        result[0] = add_in_place(result[0], b).block_until_ready()

    return 3 * a.nbytes / _fastest(add)


def _fastest(call: Callable[[], object], rounds: int = 5) -> float:
    """Seconds of the fastest call, not counting the first, which compiles."""
    seconds = []
    for _ in range(1 + rounds):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])
