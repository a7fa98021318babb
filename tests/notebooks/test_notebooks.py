"""The notebooks run from their first cell to their last, at a small size, and are stored without outputs."""

import json
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SMALL = "--features 8 --embedding 8 --seeds 1 --log-gradients-every 5 --compilation-cache off"
RECALL = f"{SMALL} --cells simple lstm --steps 20 --batch-size 16 --max-distance 20 --validate-every 10"
IMDB = f"{SMALL} --cells gru --epochs 1 --batch-size 500 --max-length 40 --vocabulary 500"


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """``execute(name, folder, variables)``: the executed notebook, in ``folder``, with environment variables."""
    for name in ("XDG_CACHE_HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "MPLCONFIGDIR"):
        (home := tmp_path / "home" / name.lower()).mkdir(parents=True)
        monkeypatch.setenv(name, str(home))

    def run(name, folder, **variables):
        for variable, value in variables.items():
            monkeypatch.setenv(variable, value)
        book = nbformat.read(ROOT / "notebooks" / name, as_version=4)
        client = NotebookClient(book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
        client.execute()
        return book

    return run


def outputs(book):
    return [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]


def printed(book):
    """All text below the cells."""
    shown = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs(book)]
    return "\n".join(shown)


def pictures(book):
    return sum("image/png" in output.get("data", {}) for output in outputs(book))


def complaints(book):
    """Everything written to standard error."""
    return [output.text for output in outputs(book) if output.get("name") == "stderr"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_lies_here_without_outputs(path):
    book = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert len(code) >= 7
    assert [(cell.outputs, cell.execution_count, cell.metadata) for cell in code] == [([], None, {})] * len(code)
    assert path.read_text(encoding="utf-8").endswith("}\n")


@pytest.mark.slow
def test_the_gradient_of_the_readers_own_model(execute, tmp_path):
    """With rnnjax installed, outside a checkout."""
    book = execute("gradient_flow.ipynb", tmp_path, RNNJAX_SMALL="1", PYTHONPATH=str(ROOT), JAX_PLATFORMS="cpu")
    text = printed(book)
    assert all(name in text for name in ("SimpleRNN", "LSTM", "GRU, chrono"))
    assert "dead memory: " in text
    assert pictures(book) == 9  # by lag; five of diagnose; belt, Jacobians, exponents
    assert complaints(book) == []
    assert (tmp_path / "diagnosis.html").exists()


@pytest.mark.slow
def test_models_of_three_libraries_are_trained_and_drawn(execute, tmp_path):
    book = execute("any_model.ipynb", tmp_path, RNNJAX_SMALL="1", PYTHONPATH=str(ROOT), JAX_PLATFORMS="cpu")
    text = printed(book)
    names = ("Flax LSTM", "nnx GRU", "Equinox GRU")
    assert all(f"{name}: loss 0." in text or f"{name}: loss 1." in text for name in names)
    assert "Linen/lstm carry[0]" in text
    assert pictures(book) == 3  # by lag, over training, the loss
    assert complaints(book) == []
    (page,) = tmp_path.glob("any-model-*/report.html")
    assert all(name in page.read_text(encoding="utf-8") for name in names)


@pytest.mark.slow
def test_recall_and_imdb_on_what_there_is(execute, tmp_path):
    """With the reviews if TFDS_DATA_DIR is set; otherwise the notebook reports that IMDB is left out."""
    real = "TFDS_DATA_DIR" in os.environ
    variables = {
        "RNNJAX_EXPECT": "any",
        "RNNJAX_PARALLEL": "pmap",
        "RNNJAX_RUNS": str(tmp_path / "runs"),
        "RNNJAX_RECALL": RECALL,
        "RNNJAX_IMDB": IMDB,
        "RNNJAX_WITH_IMDB": str(real),
        "JAX_PLATFORMS": "cpu",
    }
    book = execute("colab_tpu.ipynb", ROOT / "notebooks", **variables)
    text = printed(book)
    assert "installed: nothing, all requirements are met" in text
    assert "(cpu)" in text
    assert ("IMDB is left out" in text) is not real
    for name in ("recall", "imdb")[: 1 + real]:
        folder = tmp_path / "runs" / name
        assert json.loads((folder / "config.json").read_text())["experiment"] == name
        assert all((member / "result.json").exists() for member in (folder / "members").iterdir())
        assert str(folder / "report.html") in text
    figures = len(list((tmp_path / "runs").glob("*/figures/*.png")))
    assert pictures(book) == figures >= 8
    assert "SimpleRNN" in text
    assert "horrifying" in text
    assert complaints(book) == []

    again = execute("colab_tpu.ipynb", ROOT / "notebooks")
    assert pictures(again) == figures
    resumed = json.loads((tmp_path / "runs/recall/environment.json").read_text())["resumed"]
    assert len(resumed) == 1
