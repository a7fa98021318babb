"""Every Python block in docs/ runs, those of one page in order, and prints the output shown below it.

The README's run in tests/test_readme.py.
"""

import contextlib
import io
import re

import jax
import pytest
from command_line import isolated_home
from pages import DOCS, ROOT, blocks, page_name, read

from rnnjax.cells import registry

PAGES_WITH_CODE = [page for page in sorted(DOCS.rglob("*.md")) if any(blocks(page, "python"))]
SLOW_CALLS = ("launch.main(", "rnnjax.diagnose(", "rnnjax.gradient_flow(")  # blocks that take more than a moment
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def assert_same_output(printed, expected):
    """Equal words, and numbers within what different versions of jax may change."""
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", expected)
    printed_numbers, expected_numbers = ([float(number) for number in NUMBER.findall(t)] for t in (printed, expected))
    assert printed_numbers == pytest.approx(expected_numbers, rel=0.1, abs=2e-5)


def test_there_is_code_to_run():
    assert {"tutorial.md", "own-cell.md", "own-model.md", "own-data.md"} <= {page.name for page in PAGES_WITH_CODE}


def run(page, page_blocks):
    """Run blocks one after the other in one namespace, and return it."""
    namespace = {"__name__": "__main__"}
    for block in page_blocks:
        code = compile("\n" * (block.line - 1) + block.code, page_name(page), "exec")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, namespace)
        if block.output is not None:
            assert_same_output(printed.getvalue(), block.output)
    return namespace


@pytest.fixture
def reader(tmp_path, tmp_path_factory, monkeypatch):
    """An empty working folder and home, cells that are unregistered afterwards, and jax's default settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "CELLS", registry.CELLS.copy())
    with isolated_home(tmp_path_factory, monkeypatch), jax.numpy_rank_promotion("allow"):
        yield


def is_slow(block):
    return any(call in block.code for call in SLOW_CALLS)


IN_SLOW_TESTS = ("any-scan.md", "own-cell.md")  # all of their code, below


@pytest.mark.parametrize("page", [page for page in PAGES_WITH_CODE if page.name not in IN_SLOW_TESTS], ids=page_name)
def test_the_code_of_a_page_runs(page, reader):
    run(page, [block for block in blocks(page, "python") if not is_slow(block)])


@pytest.mark.slow  # with the blocks that are left out above
@pytest.mark.parametrize(
    "page", [page for page in PAGES_WITH_CODE if any(map(is_slow, blocks(page, "python")))], ids=page_name
)
def test_all_of_the_code_of_a_page_runs(page, reader, tmp_path):
    namespace = run(page, blocks(page, "python"))
    if "status" in namespace:
        (report,) = tmp_path.glob("runs/*/report.html")
        assert namespace["status"] == 0
        assert "CoupledLSTM forget_bias=3" in report.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["multiplicative_lstm", "minimal_gated_unit", "coupled_lstm"])
def test_the_page_shows_the_cell_as_it_is(name):
    code = read(ROOT / f"examples/{name}.py")
    assert code in [block.code for block in blocks(DOCS / "how-to/own-cell.md", "python")]
