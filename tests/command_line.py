"""Runs ``launch.py`` in the test's own process, and checks its output, files and errors."""

import contextlib
import io
import json
import math

import jax

import launch
from rnnjax.sharding.compilation_cache import configure_compilation_cache

SMALL = "--cells lstm --features 4 --seeds 1 --epochs 1 --batch-size 8 --log-gradients-every 0 --compilation-cache off"


@contextlib.contextmanager
def isolated_home(tmp_path_factory, monkeypatch):
    """A temporary home, JAX with its devices configured, and no compilation cache afterwards."""
    for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp("home")))
    assert jax.local_device_count() == 8
    yield
    configure_compilation_cache("off")


def start(arguments, folder):
    """Run launch.py into ``folder``: (exit status, standard output)."""
    with contextlib.redirect_stdout(io.StringIO()) as output:
        status = launch.main([*arguments.split(), "--out", str(folder)])
    return status, output.getvalue()


def read_json(path):
    return json.loads(path.read_text())


def run_to_completion(arguments, folder, *, members=1):
    """Run launch.py and check that it succeeds: (content of task.json, results of its members)."""
    status, output = start(arguments, folder)
    assert status == 0
    results = [read_json(path) for path in sorted(folder.glob("members/*/result.json"))]
    assert len(results) == members
    for result in results:
        assert all(math.isfinite(value) for value in result.values() if isinstance(value, int | float))
        assert 0 <= result["test_accuracy"] <= 1
    assert (folder / "report.html").read_text().rstrip().endswith("</html>")
    assert "report.html" in output
    return read_json(folder / "task.json"), results


def error_line(arguments, tmp_path, capsys):
    """The error message of a run that fails and leaves no files behind."""
    before = sorted(tmp_path.rglob("*"))
    status = launch.main([*arguments.split(), "--out", str(tmp_path / "run")])
    (line,) = capsys.readouterr().err.splitlines()
    assert status == 1
    assert sorted(tmp_path.rglob("*")) == before
    return line
