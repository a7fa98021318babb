import json

import numpy as np
import pytest
from synthetic_run import write_member, write_run, write_task

from rnnjax.errors import UserError
from rnnjax.runs.reader import load_run


def test_numbers_come_back_as_written(tmp_path):
    run = write_run(tmp_path / "run")
    curve = 0.5 ** np.arange(6)
    write_member(run, "GRU", 3, curves={"h": [curve, 2 * curve]}, by_distance={10: 0.9, 20: 0.8}, parameters=77)
    (member,) = load_run(run).members
    assert (member.label, member.cell, member.seed, member.parameters) == ("GRU", "gru", 3, 77)
    log = member.gradients[0, "h"]
    np.testing.assert_array_equal(log.steps, [0, 100])
    np.testing.assert_array_equal(log.q50, [curve, 2 * curve])
    np.testing.assert_array_equal(log.q10, [0.5 * curve, curve])
    np.testing.assert_array_equal(member.validation.accuracy, [0.7, 0.9])
    np.testing.assert_array_equal(member.result.distance, [10, 20])
    np.testing.assert_array_equal(member.result.accuracy, [0.9, 0.8])


def test_a_lag_without_examples_has_no_number_whatever_was_written_there(tmp_path):
    run = write_run(tmp_path / "run")
    write_member(run, "GRU", curves={"h": [np.ones(4)]}, counts=[5, 5, 0, None])
    (member,) = load_run(run).members
    np.testing.assert_array_equal(member.gradients[0, "h"].q50, [[1, 1, np.nan, np.nan]])


def test_norms_that_are_no_numbers_keep_their_count(tmp_path):
    run = write_run(tmp_path / "run")
    write_member(run, "GRU", curves={"h": [np.array([1, np.nan, np.inf])]}, counts=[5, 4, 3])
    log = load_run(run).members[0].gradients[0, "h"]
    np.testing.assert_array_equal(log.count, [[5, 4, 3]])
    np.testing.assert_array_equal(log.q50, [[1, np.nan, np.inf]])


def test_torn_last_lines_are_left_out(tmp_path):
    run = write_run(tmp_path / "run")
    folder = write_member(run, "GRU", curves={"h": [np.ones(3), np.full(3, 7.0)]}, gradient_steps=[0, 5])
    for name in ("metrics.jsonl", "gradients.jsonl"):
        with (folder / name).open("a") as file:
            file.write('{"step": 999, "layer": 0, "sta')
    (member,) = load_run(run).members
    np.testing.assert_array_equal(member.gradients[0, "h"].steps, [0, 5])
    np.testing.assert_array_equal(member.gradients[0, "h"].q50[1], [7, 7, 7])
    np.testing.assert_array_equal(member.validation.steps, [100, 200])


def test_a_member_killed_before_its_first_record_is_named(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "members" / "lstm-seed0").mkdir()
    assert load_run(run).members == ()
    assert load_run(run).not_started == ("lstm-seed0",)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"is not a run folder.*config\.json"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{"),
        ("config.json", "[1]"),
        ("environment.json", "nothing"),
        ("members/gru-seed0/member.json", '{"label": "GRU"}'),
        ("members/gru-seed0/result.json", '{"test_loss": 1}'),
        ("members/gru-seed0/metrics.jsonl", "torn\n{}\n"),
        ("members/gru-seed0/gradients.jsonl", json.dumps({"step": 0}) + "\n"),
        ("members/gru-seed0/gradients.jsonl", "3\n"),
    ],
)
def test_damage_is_one_sentence_that_names_the_place(tmp_path, name, content):
    run = write_run(tmp_path / "run")
    write_member(run, "GRU", curves={"h": [np.ones(3)]})
    (run / name).write_text(content)
    with pytest.raises(UserError, match="damaged") as caught:
        load_run(run)
    assert str((run / name).parent) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "varied", "objective", "expected"),
    [
        ({}, {}, "binary", True),
        ({"architecture": {"pooling": "last", "bidirectional": False}}, {}, "binary", True),
        ({"architecture": {"pooling": "mean"}}, {}, "binary", False),
        ({"architecture": {"bidirectional": True}}, {}, "classes", False),
        ({"architecture": {"pooling": "mean"}}, {"pooling": "last"}, "binary", True),
        ({}, {"pooling": "max"}, "binary", False),
        ({}, {}, "symbols", False),
    ],
)
def test_older_runs_say_in_their_flags_whether_the_loss_reads_the_last_step_alone(
    tmp_path, flags, varied, objective, expected
):
    run = write_run(tmp_path / "run", flags={"seeds": [0], **flags})
    write_task(run, objective, "word", "review")
    write_member(run, "GRU", varied=varied)
    (member,) = load_run(run).members
    assert member.last_step_only == expected
