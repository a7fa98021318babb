"""Compiled programs on disk, so that the same job begins at once the next time."""

import hashlib
import platform
from pathlib import Path

import jax
import platformdirs

from rnnjax.config.execution import OFF
from rnnjax.errors import UserError


def configure_compilation_cache(place: str | None) -> None:
    """Let JAX keep what it compiles in ``place``; None means the user's cache folder, "off" nowhere.

    Raises:
        UserError: the folder cannot be written.
    """
    if place == OFF:
        jax.config.update("jax_compilation_cache_dir", None)
        return
    folder = Path(place).expanduser() if place else platformdirs.user_cache_path("rnnjax") / "programs"
    folder /= _processor()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"The folder {folder} for compiled programs cannot be written ({error.strerror}); name another with "
            f"--compilation-cache, or give --compilation-cache {OFF}."
        ) from None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _processor() -> str:
    """A name for the kind of CPU: a program compiled for one can end another with an illegal instruction."""
    told = platform.processor() + platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        told = next((line for line in lines if line.startswith(("flags", "Features"))), told)
    return hashlib.sha256(told.encode()).hexdigest()[:12]
