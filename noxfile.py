"""Runs the tests with every supported set of versions; the Python interpreters must be installed.

``nox`` runs all sessions, ``nox -s colab -- tests/cells -n 2`` one of them; what follows ``--`` goes to pytest.
"""

import nox

nox.options.default_venv_backend = "venv"
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


def _suite(session: nox.Session, *pins: str) -> None:
    session.install("-r", "requirements.txt", "-r", "requirements-dev.txt", *pins)
    session.run("python", "-c", "import jax, flax; print('jax', jax.__version__, 'flax', flax.__version__)")
    session.run("pytest", *session.posargs)
