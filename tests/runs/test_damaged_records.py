"""Whatever stands in a record file, reading the folder gives a result or one sentence with file, line and field."""

import contextlib
import json
import re

import numpy as np
import pytest
from test_round_trip import DIAGNOSIS, GRADIENTS, INFO, RESULT, TASK

from rnnjax.diagnostics import Origin
from rnnjax.errors import UserError
from rnnjax.runs import reader, writer
from rnnjax.runs.schema import FORMAT_VERSION, Config, Environment, member_folder

pytestmark = pytest.mark.slow

MEMBER = "members/gru-seed3"
WHOLE = (
    "config.json", "environment.json", "task.json", f"{MEMBER}/member.json", f"{MEMBER}/result.json",
    f"{MEMBER}/failure.json", f"{MEMBER}/diverged.json", f"{MEMBER}/diagnosis-end.json",
)  # fmt: skip
LINES = (f"{MEMBER}/metrics.jsonl", f"{MEMBER}/gradients.jsonl")
HOSTILE = (None, True, "x", -1, 1.5, 10**400, float("nan"), [], {}, [[]], [True])
GARBAGE = (
    b"", b"\xff\xfe", b"nothing", b"[", b"{", b"3", b"null", b'"text"', b"[1]", b"{}", b"[" * 100_000, b"1" * 5000,
    b'{"kind": "other"}', b'{"kind": 3}', b'{"kind": ["train"]}',
)  # fmt: skip
ANY_JSON = ("flags", "varied", "jax", "resumed")  # fields in which the reader takes every value
BY_NAME = (
    "by_lag",
    "saturation",
    "ratios",
    "contents",
)  # objects with names of the run's own, none of which is required
REQUIRED = {
    "config.json": {"experiment", "flags"},
    "environment.json": set(),
    "task.json": {"model", "cell", "score", "value"},
    "member.json": {"label", "cell", "seed", "parameters", "steps"},
    "result.json": {
        "test_loss", "test_accuracy", "best_step", "validation_accuracy", "seconds", "steps_per_second",
        "compile_seconds", "distance", "accuracy",
    },
    "failure.json": {"message"},
    "diverged.json": {"phase", "layer", "gate", "timestep", "step"},
    "metrics.jsonl": {"kind", "step", "loss", "accuracy", "gradient_norm", "ratios"},
    "gradients.jsonl": {"step", "layer", "state", "count", "mean", "q10", "q50", "q90"},
    "diagnosis-end.json": {
        "step", "examples", "loss", "layers", "name", "cell", "reverse", "gates", "units", "count", "by_lag", "q10",
        "q50", "q90", "keep_at_bias", "horizon", "belt_share", "omega", "padding_read", "exponents", "steps", "largest",
        "lag", "smallest", "words", "label", "logits", "connectivity", "what", "measured", "predicted",
        "points", "paths", "variance", "candidates", "not_finite", "far", "fast", "fixed", "speed", "unstable",
        "position", "outputs", "eigenvalues_real", "eigenvalues_imag", "axes",
    },
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """A folder with every record that there is."""
    config = Config(format_version=FORMAT_VERSION, experiment="x", flags={"a": 1}, contents={"a": "b"})
    writer.write_config(tmp_path, config)
    environment = Environment(
        started="today", command="x", python="3", packages={"jax": "1"}, platform="x", cpu_cores=1, devices=("x",),
        git_commit="x", resumed=({"python": "3"},), merged=("x",),
    )  # fmt: skip
    writer.write_environment(tmp_path, environment)
    writer.write_task(tmp_path, TASK)
    folder = member_folder(tmp_path, "gru-seed3")
    folder.mkdir(parents=True)
    with contextlib.closing(writer.MemberWriter(folder, tensorboard=False)) as records:
        records.write_info(INFO)
        records.append_train(0, 0, loss=0.75, accuracy=0.5, gradient_norm=2.0)
        records.append_logged_step(0, 0, GRADIENTS, {"cell/b": np.float32(0.25)})
        records.append_validation(1, 0, loss=0.5, accuracy=1.0)
        records.append_logged_step(1, 0, GRADIENTS, {"cell/b": np.float32(0.25)})
        records.write_result(RESULT)
        records.write_failure("It diverged.")
        records.write_divergence(Origin("forward", "rnn", "r", 3, 7))
        records.write_diagnosis("end", DIAGNOSIS)
    assert len(reader.load_run(tmp_path).members) == 1
    return tmp_path


def paths_in(value, path=()):
    """The path of every value inside a JSON value, of lists the first two."""
    items = value.items() if isinstance(value, dict) else list(enumerate(value))[:2] if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from paths_in(item, (*path, key))


def changed(value, path, change):
    """A copy of a JSON value in which the container and the last key of ``path`` were given to ``change``."""
    copy = json.loads(json.dumps(value))
    container = copy
    for key in path[:-1]:
        container = container[key]
    change(container, path[-1])
    return copy


def refusal(run):
    """The sentence with which reading the folder is refused; None where it is read."""
    sentence = None
    try:
        reader.load_run(run)
    except UserError as error:
        sentence = str(error)
    assert sentence is None or "\n" not in sentence
    return sentence


def check(run, name, path, change, line=None):
    """Change one value in a file, and return the refusal after it was looked at."""
    file = run / name
    before = file.read_bytes()
    try:
        if line is None:
            file.write_text(json.dumps(changed(json.loads(before), path, change)))
        else:
            records = [json.loads(text) for text in before.splitlines()]
            records[line] = changed(records[line], path, change)
            file.write_text("".join(json.dumps(record) + "\n" for record in records))
        sentence = refusal(run)
    finally:
        file.write_bytes(before)
    if sentence is not None and "written by a newer rnnjax" not in sentence:
        assert f"'{file}' is damaged" in sentence, (path, sentence)
        assert line is None or f"in line {line + 1}, " in sentence, (path, sentence)
        assert any(key in sentence for key in path if isinstance(key, str)), (path, sentence)
    return sentence


def records_of(run):
    """(file, line or None, value) of every record."""
    for name in WHOLE:
        yield name, None, json.loads((run / name).read_text())
    for name in LINES:
        for line, text in enumerate((run / name).read_text().splitlines()):
            yield name, line, json.loads(text)


def test_a_field_that_is_missing_is_named(run):
    for name, line, value in records_of(run):
        required = REQUIRED[name.rpartition("/")[2]]
        for path in paths_in(value):
            if isinstance(path[-1], str):
                sentence = check(run, name, path, lambda container, key: container.pop(key), line)
                named = len(path) > 1 and (path[-2] in BY_NAME or path[0] in ANY_JSON)
                if path[-1] in required and not named:
                    assert f"{path[-1]} is missing" in str(sentence), (name, path)


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda value: repr(value)[:20])
def test_a_field_of_another_type_is_read_or_named(run, hostile):
    for name, line, value in records_of(run):
        for path in paths_in(value):
            check(run, name, path, lambda container, key: container.__setitem__(key, hostile), line)


def test_an_object_where_none_belongs_is_refused_everywhere(run):
    for name, line, value in records_of(run):
        for path in paths_in(value):
            sentence = check(run, name, path, lambda container, key: container.__setitem__(key, {"hostile": []}), line)
            if path[0] not in ANY_JSON:
                assert sentence is not None, (name, path)


@pytest.mark.parametrize("name", [*WHOLE, *LINES])
def test_garbage_is_named(run, name):
    for content in GARBAGE:
        (run / name).write_bytes(content if name in WHOLE else content + b"\n")
        sentence = refusal(run)
        if name in WHOLE and (not content.startswith(b"{") or content == b"{"):
            assert sentence is not None, content
        if sentence is not None:
            assert f"'{run / name}' is damaged" in sentence, (content, sentence)


def test_the_line_that_is_damaged_is_named(run):
    file = run / MEMBER / "metrics.jsonl"
    whole = file.read_text().splitlines()
    for line in range(len(whole)):
        for wrong, reason in (('{"step": 0', "not valid JSON"), ("[]", "expected object, got array")):
            file.write_text("\n".join([*whole[:line], wrong, *whole[line:]]) + "\n")
            assert re.search(rf"metrics\.jsonl' is damaged in line {line + 1}, {reason}", refusal(run))


def test_a_folder_in_place_of_a_file_is_named(run):
    (run / MEMBER / "result.json").unlink()
    (run / MEMBER / "result.json").mkdir()
    assert refusal(run) == (
        f"'{run / MEMBER / 'result.json'}' cannot be read (Is a directory); restore it or run again."
    )
