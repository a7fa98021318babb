"""Helpers for notebooks: install missing packages, check the device, choose a folder for runs, show figures."""

import importlib
import os
import shlex
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from rnnjax.errors import UserError

DRIVE = Path("/content/drive/MyDrive")
# Packages that are never replaced, above all the jax that was built for the runtime's device.
KEPT = ("jax", "libtpu", "flax", "optax", "orbax", "numpy", "scipy", "ml-dtypes", "tensorflow", "torch")


def installed_versions() -> dict[str, str]:
    """Name -> version of every installed package."""
    packages = [(package.metadata["Name"], package.version) for package in distributions()]
    return {canonicalize_name(name): version for name, version in packages if name}


def missing_requirements(requirements: Path) -> list[str]:
    """The requirements in a file that are not installed, or not within the bounds of their versions.

    A single version that a requirement excludes (!=) is better replaced, but a runtime that has it is left as it is.
    """
    versions, missing = installed_versions(), []
    for line in requirements.read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if not text:
            continue
        requirement = Requirement(text)
        version = versions.get(canonicalize_name(requirement.name))
        bounds = SpecifierSet(",".join(str(bound) for bound in requirement.specifier if bound.operator != "!="))
        if version is None or not bounds.contains(version, prereleases=True):
            missing.append(text)
    return missing


def install_missing(requirements: Path) -> list[str]:
    """Install the missing requirements without changing the version of the packages in ``KEPT``.

    Returns:
        The requirements that were installed.

    Raises:
        UserError: a package in ``KEPT`` is too old, or pip finds no versions that are compatible with them.
    """
    missing = missing_requirements(requirements)
    kept = {name: version for name, version in installed_versions().items() if name.startswith(KEPT)}
    for text in missing:
        if (name := canonicalize_name(Requirement(text).name)) in kept:
            raise UserError(
                f"This runtime has {name} {kept[name]}, but rnnjax needs {text}; choose a newer version of the runtime."
            )
    if missing:
        with tempfile.TemporaryDirectory() as folder:
            constraints = Path(folder) / "constraints.txt"
            constraints.write_text("".join(f"{name}=={version}\n" for name, version in kept.items()))
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", str(constraints), *missing]
            result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise UserError(f"pip could not install {', '.join(missing)}: {result.stderr.strip()}")
        importlib.invalidate_caches()
    return missing


def check_device(expect: str) -> str:
    """One line with the version of JAX and its devices.

    Args:
        expect: the expected platform, "tpu", "gpu" or "cpu"; "any" accepts every platform.

    Raises:
        UserError: JAX runs on another platform.
    """
    import jax

    from rnnjax.config.execution import Execution
    from rnnjax.sharding.devices import configure_devices

    configure_devices(Execution())
    devices = jax.devices()
    description = f"{len(devices)} × {devices[0].device_kind} ({devices[0].platform})"
    if expect not in ("any", devices[0].platform):
        raise UserError(
            f"A {expect.upper()} was expected, but JAX {jax.__version__} found {description}. Choose one under "
            "Runtime → Change runtime type (in Kaggle: Settings → Accelerator) and run all cells again, or set "
            "EXPECT to any."
        )
    return f"JAX {jax.__version__} on {description}"


def runs_folder(*, mount: bool) -> Path:
    """The folder for runs: RNNJAX_RUNS if set, else one on Google Drive if it is mounted, else ``runs``.

    Args:
        mount: whether to mount Google Drive first (in Colab, which asks for permission).
    """
    if mount:
        from google.colab import drive

        drive.mount(str(DRIVE.parent))
    folder = os.environ.get("RNNJAX_RUNS")
    return Path(folder) if folder else DRIVE / "rnnjax-runs" if DRIVE.is_dir() else Path("runs").resolve()


def train(arguments: str, out: Path) -> Path:
    """Run ``launch.py`` with ``arguments`` into the folder ``out``, continuing a run that is already there.

    Raises:
        UserError: the run failed, with an error message in the output, or was stopped.
    """
    import launch

    status = launch.main([*shlex.split(arguments), "--out", str(out), "--resume"])
    if status > 128:
        raise UserError("Stopped, with a checkpoint; run the cell again to continue.")
    if status:
        raise UserError(f"launch.py {arguments} ended with status {status}; see the error above.")
    return out


def show_figures(run: Path) -> None:
    """Show the figures of a run inline, in the order of its report."""
    from IPython.display import Image, display

    page = (run / "report.html").read_text(encoding="utf-8")
    figures = (run / "figures").glob("*.png")
    for path in sorted(figures, key=lambda path: page.find(f'<section id="{path.stem}"')):
        display(Image(filename=str(path)))
