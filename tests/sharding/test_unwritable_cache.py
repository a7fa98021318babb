"""A home that cannot be written, a platform that does not exist, two runs of one second."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from rnnjax.runs.folder import current_environment, run_folder
from rnnjax.runs.schema import Config
from rnnjax.sharding.compilation_cache import configure_compilation_cache

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def test_without_a_writable_home_programs_are_not_kept(tmp_path, monkeypatch):
    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    said = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", read_only)
        configure_compilation_cache(None, said.append)
    assert jax.config.jax_compilation_cache_dir is None
    (line,) = said
    assert line.startswith(f"compiled programs are not kept, since {tmp_path}")
    assert line.endswith("cannot be written (Read-only file system)")


@pytest.mark.parametrize("option", [pytest.param("-B", marks=pytest.mark.slow), "-O"])
def test_a_platform_of_the_environment_that_is_not_there_is_one_sentence(tmp_path, option):
    command = [sys.executable, option, str(ROOT / "launch.py"), "recall", "--out", str(tmp_path / "run")]
    command += ["--compilation-cache", "off"]
    environment = os.environ | {"JAX_PLATFORMS": "cuda"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    *_, line = done.stderr.splitlines()
    assert line.startswith("error: There is no cuda for JAX here")
    assert line.endswith("; install JAX for it, or take another JAX_PLATFORMS in the environment.")
    assert "Traceback" not in done.stderr


def test_runs_of_one_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config(experiment="recall", flags={})
    folders = []

    def start(depth):
        with run_folder(
            None, config, current_environment([], "default"), resume=False, difference=lambda _: []
        ) as folder:
            folders.append(folder)
            if depth:
                start(depth - 1)
            (folder / "members" / "x").mkdir()

    start(2)
    assert len({*folders}) == 3
    assert all((folder / "config.json").is_file() and folder.parent == Path("runs") for folder in folders)
