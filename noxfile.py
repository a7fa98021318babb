"""Runs the tests with every supported set of versions; the Python interpreters must be installed.

``nox`` runs the tests with all sets, ``nox -s colab -- tests/cells -n 2`` with one of them; what follows ``--`` goes to
pytest. ``nox -s tpu`` and ``nox -s cuda`` compile for accelerators that need not be there.
"""

import nox

nox.options.default_venv_backend = "venv"
NO_TPU = {"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1"}  # looked for neither here nor on the network
PYTHONS = ("3.11", "3.12", "3.13")
COLAB = (  # installed on Google Colab; pip chooses versions of the other packages that fit
    "jax==0.7.2", "jaxlib==0.7.2", "flax==0.11.2", "optax==0.2.8", "orbax-checkpoint==0.12.4", "chex==0.1.90",
    "numpy==2.1.3",
)  # fmt: skip


@nox.session(python=PYTHONS)
def newest(session: nox.Session) -> None:
    """The newest releases that exist for this Python."""
    _suite(session)


@nox.session(python="3.13")
def colab(session: nox.Session) -> None:
    """The versions on Google Colab."""
    _suite(session, *COLAB)


@nox.session(python="3.11", default=False)
def tpu(session: nox.Session) -> None:
    """Every program of every experiment, compiled for TPUs; needs none, but libtpu (0.4 GB)."""
    _compile_for(session, "jax[tpu]", "v5e", "layers_for_tpu", "pallas_for_tpu", "experiments_for_tpu")


@nox.session(python="3.11", default=False)
def cuda(session: nox.Session) -> None:
    """Every program of every experiment, compiled for NVIDIA GPUs; needs none, but CUDA's libraries (5.5 GB)."""
    _compile_for(session, "jax[cuda12]", "T4", "experiments_for_gpu")


def _compile_for(session: nox.Session, package: str, device: str, *tests: str) -> None:
    session.install("-r", "requirements.txt", "-r", "requirements-dev.txt", package)
    find_compiler = f"from rnnjax.sharding.targets import TARGETS; TARGETS['{device}'].devices()"
    session.run("python", "-c", find_compiler, env=NO_TPU)  # else all tests would be skipped
    files = [f"tests/accelerators/test_{name}.py" for name in tests]
    session.run("pytest", *files, "-m", "slow or accelerators", "--dist", "worksteal", *session.posargs)


def _suite(session: nox.Session, *pins: str) -> None:
    session.install("-r", "requirements.txt", "-r", "requirements-dev.txt", *pins)
    session.run("python", "-c", "import jax, flax; print('jax', jax.__version__, 'flax', flax.__version__)")
    session.run("pytest", *session.posargs)
