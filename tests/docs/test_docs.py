"""What the README and docs/ name is there: commands, files, headings, names; and examples in docstrings hold."""

import doctest
import importlib
import re
import shlex

import pytest
import tyro
from pages import DOCS, PAGES, ROOT, anchors, links, name_of, read

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
        for told in re.findall(r"python launch\.py([^`\n&]*)", text):
            told = re.sub(r"\$[A-Z_]+", "1", told)
            words = shlex.split(told if told.count('"') % 2 == 0 else told.rstrip('"'), comments=True)
            yield name_of(page), [word for word in words if word != "--help"]


COMMANDS = list(commands())


def test_commands_are_found_on_the_pages_that_have_some():
    told = {"README.md", "docs/machines.md", "docs/results.md", "docs/benchmarks.md", "docs/tutorial.md"}
    assert told < {page for page, _ in COMMANDS}


@pytest.mark.parametrize(
    ("page", "arguments"), COMMANDS, ids=lambda told: "" if isinstance(told, str) else " ".join(told)
)
def test_a_command_is_understood(page, arguments):
    command = tyro.cli(launch.Command, args=arguments or ["recall"])
    if isinstance(command, Experiment):
        assert run_specs(command, lambda line: None)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_link_leads_to_what_is_there(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
        if page.name != "README.md":  # the site holds docs/ alone
            assert target.is_relative_to(DOCS), link


def test_every_page_is_in_the_contents_of_the_site_and_every_picture_on_a_page():
    contents = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.M)
    assert sorted(contents) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES[1:])
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page)}
    assert set(DOCS.rglob("*.png")) <= shown


def resolved(name):
    """The object that a dotted name is."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


@pytest.mark.parametrize("name", REFERENCE)
def test_a_name_of_the_reference_is_there_and_explained(name):
    found = resolved(name)
    assert name.endswith("QUANTILES") or (found.__doc__ or "").strip()


def test_every_public_name_is_in_the_reference():
    public = {f"rnnjax.{name}" for name in rnnjax.__all__ if name != "diagnostics"}
    public |= {f"rnnjax.diagnostics.{name}" for name in rnnjax.diagnostics.__all__}
    known = {re.sub(r"\.(\w+)\.\1$", r".\1", name) for name in REFERENCE}  # a function and its module of one name
    assert public <= known
    assert set(launch.EXPERIMENTS.values()) <= {
        found for name in REFERENCE if isinstance(found := resolved(name), type)
    }


def test_examples_in_docstrings_give_what_they_say():
    paths = [path for path in sorted((ROOT / "rnnjax").rglob("*.py")) if ">>>" in read(path)]
    for path in paths:
        assert "+SKIP" not in read(path)
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        failed, tried = doctest.testmod(module)
        assert tried > 0 == failed, path
    assert paths
