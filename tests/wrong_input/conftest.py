"""A folder in which runs lie, whole and broken ones, and a home of one's own."""

import pytest
from folder import fill
from command_line import away_from_home


@pytest.fixture
def elsewhere(tmp_path, tmp_path_factory, monkeypatch):
    fill(tmp_path)
    monkeypatch.chdir(tmp_path)
    with away_from_home(tmp_path_factory, monkeypatch):
        yield
