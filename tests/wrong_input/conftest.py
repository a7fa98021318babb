"""A folder with valid and damaged runs as working directory, and a temporary home."""

import pytest
from command_line import isolated_home
from folder import fill


@pytest.fixture
def isolated(tmp_path, tmp_path_factory, monkeypatch):
    fill(tmp_path)
    monkeypatch.chdir(tmp_path)
    with isolated_home(tmp_path_factory, monkeypatch):
        yield
