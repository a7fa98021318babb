"""Whatever is done to a file of a run folder, it is reported, compared and loaded, or one sentence names the file."""

import copy
import json
import shutil

import pytest
from good_run import write_good_run
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup

import rnnjax
from rnnjax.errors import UserError
from rnnjax.report import comparison, run_report
from rnnjax.report.comparison import write_comparison
from rnnjax.report.run_report import write_report

FINISHED = "members/gru-clip=1-seed0"
FILES = (
    "config.json", "environment.json", "task.json", "vocabulary.json",
    *(f"{FINISHED}/{name}" for name in (
        "member.json", "model.json", "metrics.jsonl", "gradients.jsonl", "params.msgpack", "result.json",
        "diagnosis-start.json", "diagnosis-end.json",
    )),
    *(f"members/gru-clip=2-seed0/{name}" for name in ("failure.json", "diverged.json")),
)  # fmt: skip
HOSTILE = (
    None, True, "", "x", "\ud83d", "\x1b[2J", "x" * 10_000, 0, -1, 2**31, 2**63, 10**400, 0.5, 1e308, -1e308, 5e-324,
    float("nan"), float("inf"), float("-inf"), [], [[]], [None], [1e308, -1e308], {}, {"": {}}, {"a": [1]},
)  # fmt: skip
DEEP = ("[" * 5000 + "]" * 5000, "[" * 800 + "]" * 800, '{"a":' * 800 + "1" + "}" * 800, "[" * 70 + "]" * 70)
MARK = "<deep>"  # where a value of DEEP, which json cannot write, is put in
NUMBER = st.integers(0, 2**16)  # which byte, record or field, modulo their number
FLIPPED = st.tuples(st.just("flip"), st.lists(st.tuples(NUMBER, st.integers(1, 255)), min_size=1, max_size=3))
CUT = st.tuples(st.just("cut"), NUMBER)
REPLACED = st.tuples(st.just("replace"), st.lists(st.tuples(NUMBER, st.sampled_from(HOSTILE)), min_size=1, max_size=3))
REMOVED = st.tuples(st.just("remove"), NUMBER)
NESTED = st.tuples(st.sampled_from(DEEP), NUMBER)
DAMAGE = st.sampled_from(FILES).flatmap(
    lambda name: st.tuples(
        st.just(name), FLIPPED | CUT if name.endswith("msgpack") else REPLACED | REMOVED | NESTED | FLIPPED | CUT
    )
)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A good run, and a second one to compare with."""
    folder = tmp_path_factory.mktemp("good")
    for name in ("one", "two"):
        write_good_run(folder / name)
    return folder


@pytest.fixture
def no_figures(monkeypatch):
    """Reports without figures, which take seconds to draw."""
    for module in (run_report, comparison):
        monkeypatch.setattr(module, "drawn_sections", lambda *_: [])
        monkeypatch.setattr(module, "embed_figures", lambda *_: (Markup(), {}))


def places(value):
    """(container, key) of every value inside a JSON value, of lists the first three."""
    items = value.items() if isinstance(value, dict) else list(enumerate(value))[:3] if isinstance(value, list) else ()
    for key, item in items:
        yield value, key
        yield from places(item)


def damaged(content, name, kind, how):
    """The bytes of a file after it was damaged."""
    if kind == "cut":
        return content[: how % len(content)]
    if kind == "flip":
        changed = bytearray(content)
        for place, mask in how:
            changed[place % len(changed)] ^= mask
        return bytes(changed)
    records = [json.loads(line) for line in content.splitlines()] if name.endswith("jsonl") else [json.loads(content)]
    for place, value in how if kind == "replace" else [(how, MARK)]:
        every = [*places(records)]
        container, key = every[place % len(every)]
        if kind == "remove" and container is not records:
            del container[key]
        else:
            container[key] = copy.deepcopy(value)
    texts = [json.dumps(record).replace(f'"{MARK}"', kind) for record in records]
    return "\n".join([*texts, ""]).encode()


def check(good, tmp_path, name, damage):
    """Damage a file of a copy of the run, and try all that reads it."""
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    shutil.copytree(good / "one", tmp_path / "run")
    path = tmp_path / "run" / name
    path.write_bytes(damaged(path.read_bytes(), name, *damage))
    for call in (
        lambda: write_report(tmp_path / "run"),
        lambda: write_comparison((tmp_path / "run", good / "two"), tmp_path / "page.html"),
        lambda: rnnjax.load(tmp_path / "run"),
    ):
        try:
            call()
        except UserError as error:
            sentence = str(error)
            assert "\n" not in sentence
            assert f"'{path}" in sentence or "was written by a newer rnnjax" in sentence


@settings(max_examples=40)
@given(damage=DAMAGE)
def test_damage_is_read_or_named(good, tmp_path, no_figures, damage):
    check(good, tmp_path, *damage)


@pytest.mark.slow
@settings(max_examples=40)
@given(damage=DAMAGE)
def test_damage_is_drawn_or_named(good, tmp_path, damage):
    check(good, tmp_path, *damage)
