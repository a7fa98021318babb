"""What the pages name exists: commands, files, headings, functions; and the examples in docstrings hold."""

import ast
import doctest
import importlib
import re
import shlex

import pytest
import tyro
from pages import DOCS, PAGES, ROOT, SITE_PAGES, anchors, links, page_name, read

import launch
import rnnjax
from experiments.base import Experiment
from experiments.study import run_specs

REFERENCE = [
    name for page in sorted((DOCS / "reference").glob("*.md")) for name in re.findall(r"^::: (\S+)", read(page), re.M)
]


def commands():
    """(page, arguments) of each ``python launch.py``, in a block or in a line of text."""
    for page in PAGES:
        text = read(page).replace("\\\n", " ")
        for command in re.findall(r"python launch\.py([^`\n&]*)", text):
            command = re.sub(r"\$[A-Z_]+", "1", command)
            words = shlex.split(command if command.count('"') % 2 == 0 else command.rstrip('"'), comments=True)
            yield page_name(page), [word for word in words if word != "--help"]


COMMANDS = list(commands())


def test_commands_are_found_on_the_pages_that_have_some():
    expected = {"README.md", "docs/machines.md", "docs/results.md", "docs/benchmarks.md", "docs/tutorial.md"}
    assert expected < {page for page, _ in COMMANDS}


@pytest.mark.parametrize(
    ("page", "arguments"), COMMANDS, ids=lambda value: "" if isinstance(value, str) else " ".join(value)
)
def test_a_command_is_understood(page, arguments):
    command = tyro.cli(launch.Command, args=arguments or ["recall"])
    if isinstance(command, Experiment):
        assert run_specs(command, lambda line: None)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_a_link_leads_to_what_is_there(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
        if page in SITE_PAGES:  # the site holds docs/ alone
            assert target.is_relative_to(DOCS), link


def test_every_page_is_in_the_contents_of_the_site_and_every_picture_on_a_page():
    contents = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M)
    assert sorted(contents) == sorted(page.relative_to(DOCS).as_posix() for page in SITE_PAGES)
    linked = {(page.parent / link).resolve() for page in PAGES for link in links(page)}
    assert set(DOCS.rglob("*.png")) <= linked


def resolve(name):
    """The object with a dotted name."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            value = getattr(value, part)
        return value
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("name", REFERENCE)
def test_a_name_of_the_reference_exists_and_is_documented(name):
    value = resolve(name)
    assert name.endswith("QUANTILES") or (value.__doc__ or "").strip()


def test_every_public_name_is_in_the_reference():
    public = {f"rnnjax.{name}" for name in rnnjax.__all__ if name != "diagnostics"}
    public |= {f"rnnjax.diagnostics.{name}" for name in rnnjax.diagnostics.__all__}
    documented = {re.sub(r"\.(\w+)\.\1$", r".\1", name) for name in REFERENCE}  # a function and its module of one name
    assert public <= documented
    assert set(launch.EXPERIMENTS.values()) <= {value for name in REFERENCE if isinstance(value := resolve(name), type)}


def test_every_public_name_is_imported_for_types():
    """Where type checkers, editors and the site's reference find it; at run time it is imported when it is used."""
    for_types = next(node for node in ast.parse(read(ROOT / "rnnjax/__init__.py")).body if isinstance(node, ast.If))
    names = {alias.name for node in ast.walk(for_types) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert names == {*rnnjax.__all__, "NnxRNN"}


def test_examples_in_docstrings_give_their_output():
    paths = [path for path in sorted((ROOT / "rnnjax").rglob("*.py")) if ">>>" in read(path)]
    for path in paths:
        assert "+SKIP" not in read(path)
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        failed, tried = doctest.testmod(module)
        assert tried > 0 == failed, path
    assert paths
