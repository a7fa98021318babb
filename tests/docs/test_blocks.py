"""Every block of Python in docs/ runs, those of one page one after the other, and prints what stands below it.

The README's run in tests/test_readme.py.
"""

import contextlib
import io
import re

import jax
import pytest
from command_line import isolated_home
from pages import DOCS, ROOT, blocks, name_of, read

from rnnjax.cells import registry as spec

WITH_CODE = [page for page in sorted(DOCS.rglob("*.md")) if any(blocks(page, "python"))]
LONG = ("launch.main(", "rnnjax.diagnose(")  # blocks that take more than a moment
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def same(printed, told):
    """Equal words, and numbers that differ as little as other versions of jax may let them."""
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", told)
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (printed, told)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.1, abs=2e-5)


def test_there_is_code_to_run():
    assert {"tutorial.md", "own-cell.md", "own-model.md", "own-data.md"} <= {page.name for page in WITH_CODE}


def run(page, chosen):
    known = {"__name__": "__main__"}
    for block in chosen:
        code = compile("\n" * (block.line - 1) + block.code, name_of(page), "exec")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, known)
        if block.output is not None:
            same(printed.getvalue(), block.output)
    return known


@pytest.fixture
def reader(tmp_path, tmp_path_factory, monkeypatch):
    """A folder and a home of one's own, cells that are forgotten afterwards, and jax as it is by default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(spec, "CELLS", spec.CELLS.copy())
    with isolated_home(tmp_path_factory, monkeypatch), jax.numpy_rank_promotion("allow"):
        yield


def is_long(block):
    return any(call in block.code for call in LONG)


@pytest.mark.parametrize("page", WITH_CODE, ids=name_of)
def test_the_code_of_a_page_runs(page, reader):
    run(page, [block for block in blocks(page, "python") if not is_long(block)])


@pytest.mark.slow  # with the blocks that are left out above
@pytest.mark.parametrize("page", [page for page in WITH_CODE if any(map(is_long, blocks(page, "python")))], ids=name_of)
def test_all_of_the_code_of_a_page_runs(page, reader, tmp_path):
    known = run(page, blocks(page, "python"))
    if "status" in known:
        (report,) = tmp_path.glob("runs/*/report.html")
        assert known["status"] == 0
        assert "CoupledLSTM forget_bias=3" in report.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["minimal_gated_unit", "coupled_lstm"])
def test_the_page_shows_the_cell_as_it_is(name):
    code = read(ROOT / f"examples/{name}.py")
    assert code in [block.code for block in blocks(DOCS / "how-to/own-cell.md", "python")]
