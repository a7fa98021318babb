"""Compiled programs are kept in the folder that was given, and nowhere else."""

import os
import re
import subprocess
import sys

import jax
import pytest

from rnnjax.errors import UserError
from rnnjax.sharding.compilation_cache import configure_compilation_cache

NAMES = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


def configured():
    return {name: getattr(jax.config, name) for name in NAMES}


@pytest.fixture(autouse=True)
def config():
    """The config before the test, which is restored after it."""
    before = configured()
    yield before
    for name, value in before.items():
        jax.config.update(name, value)


def test_programs_are_kept_in_the_folder_for_this_kind_of_processor(tmp_path):
    configure_compilation_cache(str(tmp_path / "deep" / "programs"))
    (folder,) = (tmp_path / "deep" / "programs").iterdir()
    assert re.fullmatch("[0-9a-f]{12}", folder.name)
    assert configured() == dict(zip(NAMES, (str(folder), 0.05, -1), strict=True))
    configure_compilation_cache(str(tmp_path / "deep" / "programs"))
    assert list(folder.parent.iterdir()) == [folder]


def test_without_a_name_it_is_the_folder_of_the_user(tmp_path, monkeypatch):
    for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    configure_compilation_cache(None)
    path = jax.config.jax_compilation_cache_dir
    assert path.startswith(str(tmp_path))
    assert os.path.isdir(path)
    assert "rnnjax" in path


def test_off_keeps_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    configure_compilation_cache(str(tmp_path / "here"))
    configure_compilation_cache("off")
    assert jax.config.jax_compilation_cache_dir is None
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, config):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(
        UserError,
        match=r"^The folder .*file/[0-9a-f]{12} for compiled programs cannot be written \(.+\); name another with "
        r"--compilation-cache, or give --compilation-cache off\.$",
    ):
        configure_compilation_cache(str(tmp_path / "file"))
    assert configured() == config
    assert (tmp_path / "file").read_text() == "precious"


PROGRAM = """
import sys, jax
from rnnjax.sharding.compilation_cache import configure_compilation_cache
jax.config.update("jax_platforms", "cpu")
configure_compilation_cache(sys.argv[1])
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name) if name.endswith("cache_hits") else None)
def function(x):
    for i in range(40):
        x = jax.numpy.sin(x @ x + i)
    return x
jax.jit(function).lower(jax.ShapeDtypeStruct((8, 8), "float32")).compile()
print(len(hits))
"""


@pytest.mark.slow
def test_the_next_process_finds_them(tmp_path):
    slowly = os.environ | {"XLA_FLAGS": "", "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}  # what takes no time is not kept

    def hits():
        command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=slowly)
        return int(finished.stdout)

    assert [hits(), hits()] == [0, 1]
