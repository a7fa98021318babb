"""What the figures were measured on, and how fast it is at what cannot be avoided."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version

import numpy as np

PACKAGES = ("jax", "jaxlib", "flax", "keras", "tensorflow_cpu", "tensorflow", "torch", "equinox", "dm-haiku", "numpy")


def versions() -> dict[str, str]:
    """Package -> version, of those that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


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
    named = {name.strip(): value.strip() for name, value in lines.items()}
    vectors = [flag for flag in ("avx512f", "avx2") if flag in named.get("flags", "").split()]
    return " ".join([named.get("model name", "unknown processor"), *vectors[:1]])


def multiply_adds_a_second(size: int = 2048, rounds: int = 5) -> float:
    """Of the fastest of a few large products of matrices, on all cores: what no layer can exceed."""
    import jax

    a = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(lambda a: a @ a)
    product(a).block_until_ready()
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        product(a).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return size**3 / float(np.min(seconds))
