"""The test suite on every set of versions that is supported; a pyenv or a system must have the Pythons.

``nox`` runs all sets, one after the other; ``nox -s colab -- tests/cells -n 2`` one of them, and what follows ``--``
goes to pytest.
"""

import nox

nox.options.default_venv_backend = "venv"
PYTHONS = ("3.11", "3.12", "3.13")
COLAB = (  # what its runtime comes with; pip must find a set that fits around it
    "jax==0.7.2", "jaxlib==0.7.2", "flax==0.11.2", "optax==0.2.8", "orbax-checkpoint==0.12.4", "chex==0.1.90",
    "numpy==2.1.3",
)  # fmt: skip


@nox.session(python=PYTHONS)
def newest(session: nox.Session) -> None:
    """The newest release of everything that has one for the Python."""
    _suite(session)


@nox.session(python="3.13")
def colab(session: nox.Session) -> None:
    """The versions of Google Colab."""
    _suite(session, *COLAB)


def _suite(session: nox.Session, *pins: str) -> None:
    session.install("-r", "requirements.txt", "-r", "requirements-dev.txt", *pins)
    session.run("python", "-c", "import jax, flax; print('jax', jax.__version__, 'flax', flax.__version__)")
    session.run("pytest", *session.posargs)
