"""Set-up of a notebook: the code, missing packages without replacing jax, and the expected device."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from notebooks import runtime
from rnnjax.errors import UserError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def make_wheel(folder, name, needs=()):
    """Write the wheel of an empty package with requirements ``needs``."""
    about = "".join([f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", *(f"Requires-Dist: {n}\n" for n in needs)])
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{info}/METADATA", about)
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that is the only source of packages for pip, which installs into another folder."""
    (tmp_path / "index").mkdir()
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": tmp_path / "index", "TARGET": tmp_path / "target"}.items():
        monkeypatch.setenv(f"PIP_{name}", str(value))
    return tmp_path / "index"


def requirements(folder, *lines):
    path = folder / "requirements.txt"
    path.write_text("# a heading\n" + "".join(f"{line}\n" for line in lines))
    return path


def test_this_environment_lacks_nothing():
    assert runtime.missing_requirements(ROOT / "requirements.txt") == []


def test_what_is_missing_or_too_old_is_lacking(tmp_path):
    lines = ["jax>=0.1  # here", "no_such_package>=2", "", "NumPy>=1", "rich>=999"]
    assert runtime.missing_requirements(requirements(tmp_path, *lines)) == ["no_such_package>=2", "rich>=999"]


def test_a_version_that_is_merely_excluded_is_left_as_it_is(tmp_path):
    lines = [f"numpy!={version('numpy')}", f"jax>=0.1,!={version('jax')}", "no_such_package!=2"]
    assert runtime.install_missing(requirements(tmp_path, *lines[:2])) == []
    assert runtime.missing_requirements(requirements(tmp_path, *lines)) == ["no_such_package!=2"]


def test_what_is_missing_is_installed(index, tmp_path):
    make_wheel(index, "lacked_package")
    wanted = requirements(tmp_path, "jax>=0.1", "lacked-package>=1")
    assert runtime.install_missing(wanted) == ["lacked-package>=1"]
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["lacked_package-1.0.dist-info"]


def test_a_package_that_would_replace_jax_is_not_installed(index, tmp_path):
    make_wheel(index, "lacked_package", needs=[f"jax!={version('jax')}"])
    make_wheel(index, "jax")
    with pytest.raises(UserError, match=r"^pip could not install lacked-package: "):
        runtime.install_missing(requirements(tmp_path, "lacked-package"))
    assert not (tmp_path / "target").exists()


def test_a_jax_that_is_too_old_is_reported_and_not_replaced(index, tmp_path):
    make_wheel(index, "jax")
    with pytest.raises(UserError, match=rf"^This runtime has jax {version('jax')}, but rnnjax needs jax>=999; choose"):
        runtime.install_missing(requirements(tmp_path, "jax>=999"))
    assert not (tmp_path / "target").exists()


def test_the_device_is_named_and_another_one_refused():
    assert "8 × cpu (cpu)" in runtime.check_device("any")
    assert runtime.check_device("cpu") == runtime.check_device("any")
    with pytest.raises(UserError, match=r"^A TPU was expected, but JAX .* found 8 × cpu \(cpu\)\. Choose one under"):
        runtime.check_device("tpu")


def test_runs_are_kept_on_drive_where_it_is_mounted(tmp_path, monkeypatch):
    monkeypatch.delenv("RNNJAX_RUNS", raising=False)
    monkeypatch.setattr(runtime, "DRIVE", tmp_path / "drive" / "MyDrive")
    monkeypatch.chdir(tmp_path)
    assert runtime.runs_folder(mount=False) == tmp_path / "runs"
    runtime.DRIVE.mkdir(parents=True)
    assert runtime.runs_folder(mount=False) == runtime.DRIVE / "rnnjax-runs"
    monkeypatch.setenv("RNNJAX_RUNS", str(tmp_path / "mine"))
    assert runtime.runs_folder(mount=False) == tmp_path / "mine"


def test_a_run_that_does_not_end_well_stops_the_notebook(tmp_path, capsys):
    with pytest.raises(UserError, match=r"^launch\.py recall --batch-size 0 ended with status 1; see the error above"):
        runtime.train("recall --batch-size 0", tmp_path / "run")
    assert "--batch-size must be at least 1" in capsys.readouterr().err


def first_cell(folder, **variables):
    """The first code cell of the notebook for Colab, run in ``folder``."""
    book = json.loads((ROOT / "notebooks" / "colab_tpu.ipynb").read_text(encoding="utf-8"))
    source = "".join(next(cell for cell in book["cells"] if cell["cell_type"] == "code")["source"])
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RNNJAX_", "PYTHONPATH"))}
    command = [sys.executable, "-c", source]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment | {"JAX_PLATFORMS": "cpu"} | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The address of a git repository that holds the code."""
    folder = tmp_path_factory.mktemp("origin")
    for name in ("rnnjax", "experiments", "notebooks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("launch.py", "requirements.txt"):
        shutil.copy(ROOT / name, folder)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.hooksPath=/dev/null"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    return folder.as_uri()


def test_the_code_comes_from_its_address_once(repository, tmp_path):
    for _ in range(2):
        done = first_cell(tmp_path, RNNJAX_REPOSITORY=repository, RNNJAX_EXPECT="any")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("installed: nothing, all requirements are met\nJAX ")
    assert [path.name for path in tmp_path.iterdir()] == ["rnnjax"]


def test_without_an_address_and_without_the_code_a_sentence_says_what_to_do(tmp_path):
    done = first_cell(tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("set REPOSITORY to the address of its git repository.\n")


def test_a_missing_tpu_is_reported_before_anything_is_trained():
    done = first_cell(ROOT)
    assert done.returncode == 1
    assert "A TPU was expected, but JAX" in done.stderr.splitlines()[-1]
