"""What a notebook needs of the runtime that it is opened in: packages, a device, a folder that lasts, figures."""

import importlib
import os
import shlex
import subprocess
import sys
import tempfile
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rnnjax.errors import UserError

DRIVE = Path("/content/drive/MyDrive")
# What a runtime has been built around stays as it is, in particular the jax that knows its device.
KEPT = ("jax", "libtpu", "flax", "optax", "orbax", "numpy", "scipy", "ml-dtypes", "tensorflow", "torch")


def installed() -> dict[str, str]:
    """Version of every installed package."""
    told = [(found.metadata["Name"], found.version) for found in distributions()]
    return {canonicalize_name(name): version for name, version in told if name}


def lacking(requirements: Path) -> list[str]:
    """The lines of ``requirements`` that the runtime does not meet."""
    have, found = installed(), []
    for line in requirements.read_text(encoding="utf-8").splitlines():
        told = line.partition("#")[0].strip()
        if not told:
            continue
        wanted = Requirement(told)
        version = have.get(canonicalize_name(wanted.name))
        if version is None or not wanted.specifier.contains(version, prereleases=True):
            found.append(told)
    return found


def install_lacking(requirements: Path) -> list[str]:
    """Install what the runtime lacks, and leave what is there as it is; the lines that were installed.

    Raises:
        UserError: what must stay is too old, or pip finds nothing that fits beside it.
    """
    missing, kept = lacking(requirements), {k: v for k, v in installed().items() if k.startswith(KEPT)}
    for told in missing:
        if (name := canonicalize_name(Requirement(told).name)) in kept:
            raise UserError(
                f"This runtime has {name} {kept[name]}, and rnnjax needs {told}; choose a newer version of the runtime."
            )
    if missing:
        with tempfile.TemporaryDirectory() as folder:
            constraints = Path(folder) / "constraints.txt"
            constraints.write_text("".join(f"{name}=={version}\n" for name, version in kept.items()))
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--constraint", str(constraints), *missing]
            done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"pip could not install {', '.join(missing)}: {done.stderr.strip()}")
        importlib.invalidate_caches()
    return missing


def find_device(expect: str) -> str:
    """One line that says on what JAX runs here.

    Args:
        expect: the platform that is wanted, "tpu", "gpu" or "cpu"; "any" takes what there is.

    Raises:
        UserError: JAX has found another.
    """
    import jax

    from rnnjax.config.execution import Execution
    from rnnjax.sharding.devices import configure_devices

    configure_devices(Execution())
    devices = jax.devices()
    found = f"{len(devices)} × {devices[0].device_kind} ({devices[0].platform})"
    if expect not in ("any", devices[0].platform):
        raise UserError(
            f"A {expect.upper()} was expected, but JAX {jax.__version__} found {found}. Choose one under "
            "Runtime → Change runtime type (in Kaggle: Settings → Accelerator) and run all cells again, or set "
            "EXPECT to any."
        )
    return f"JAX {jax.__version__} on {found}"


def runs_folder(*, mount: bool) -> Path:
    """Where runs are kept: in RNNJAX_RUNS, else on Google Drive where that is mounted, else in ``runs`` here.

    Args:
        mount: ask Colab to mount Drive, which asks its owner.
    """
    if mount:
        from google.colab import drive

        drive.mount(str(DRIVE.parent))
    named = os.environ.get("RNNJAX_RUNS")
    return Path(named) if named else DRIVE / "rnnjax-runs" if DRIVE.is_dir() else Path("runs").resolve()


def train(arguments: str, out: Path) -> Path:
    """Run ``launch.py`` here, with what would be typed after it, into ``out``, or go on with the run that is there.

    Raises:
        UserError: it did not end well; it has said why.
    """
    import launch

    status = launch.main([*shlex.split(arguments), "--out", str(out), "--resume"])
    if status > 128:
        raise UserError("Stopped, with a checkpoint; run the cell again to go on.")
    if status:
        raise UserError(f"launch.py {arguments} ended with status {status}; it has said why above.")
    return out


def show_figures(run: Path) -> None:
    """Show the figures of a run inline, in the order in which its report has them."""
    from IPython.display import Image, display

    page = (run / "report.html").read_text(encoding="utf-8")
    figures = (run / "figures").glob("*.png")
    for path in sorted(figures, key=lambda path: page.find(f'<section id="{path.stem}"')):
        display(Image(filename=str(path)))
