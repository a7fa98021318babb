"""Compiled programs on disk, so that a job that was compiled before starts at once."""

import errno
import hashlib
import os
import platform
from collections.abc import Callable
from pathlib import Path

import jax
import platformdirs

from rnnjax.config.execution import OFF
from rnnjax.errors import UserError


def configure_compilation_cache(path: str | None, warn: Callable[[str], None] = lambda line: None) -> None:
    """Let JAX keep compiled programs in a folder.

    Args:
        path: of the folder; the user's cache folder if None, and no folder where that cannot be written or if "off".
        warn: called with one line where the user's cache folder cannot be written.

    Raises:
        UserError: the folder ``path`` cannot be written.
    """
    if path == OFF:
        jax.config.update("jax_compilation_cache_dir", None)
        return
    folder = Path(path).expanduser() if path else platformdirs.user_cache_path("rnnjax") / "programs"
    folder /= _processor_hash()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        if path is None:
            warn(f"compiled programs are not kept, since {folder} cannot be written ({error.strerror})")
            jax.config.update("jax_compilation_cache_dir", None)
            return
        raise UserError(
            f"The folder {folder} for compiled programs cannot be written ({error.strerror}); name another with "
            f"--compilation-cache, or give --compilation-cache {OFF}."
        ) from None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _processor_hash() -> str:
    """A name for the kind of CPU: a program compiled for one can be an illegal instruction on another."""
    features = platform.processor() + platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        features = next((line for line in lines if line.startswith(("flags", "Features"))), features)
    return hashlib.sha256(features.encode()).hexdigest()[:12]
