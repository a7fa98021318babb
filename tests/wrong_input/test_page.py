"""docs/wrong-input.md is what ``page.py`` prints."""

from pathlib import Path

from page import page

PAGE = Path(__file__).parents[2] / "docs" / "wrong-input.md"


def test_the_page_is_what_the_command_prints():
    hint = "The cases have changed: run `PYTHONPATH=. python tests/wrong_input/page.py > docs/wrong-input.md`."
    assert PAGE.read_text(encoding="utf-8") == page(), hint


def test_every_sentence_stands_on_it_once_for_each_case():
    text = page()
    assert text.count("\n| `") >= 140
