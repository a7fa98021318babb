"""``flax.nnx`` for the tests of this folder."""

import pytest


@pytest.fixture(scope="session")
def nnx():
    """``flax.nnx``, where the flax and the jax that are installed fit together."""
    try:
        return __import__("flax.nnx").nnx
    except Exception as error:
        pytest.skip(f"flax.nnx cannot be imported here, whatever rnnjax does: {type(error).__name__}: {error}")
