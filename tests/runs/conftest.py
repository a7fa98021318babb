"""A store of checkpoints."""

import pytest

from rnnjax.runs.checkpoint_store import CheckpointStore


@pytest.fixture
def store(tmp_path):
    """A store in ``tmp_path / "new"``, whose warnings are in ``store.said``."""
    said = []
    with CheckpointStore(tmp_path / "new", keep=2, warn=said.append) as store:
        store.said = said
        yield store
