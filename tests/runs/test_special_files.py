"""Special files in place of every file and folder of a run folder: one sentence, nothing is read or written through."""

import os
import socket
from pathlib import Path

import pytest
from PIL import Image
from synthetic_run import write_member, write_run

from rnnjax.errors import UserError
from rnnjax.regular_files import read_regular
from rnnjax.report.run_report import write_report
from rnnjax.runs import json_io, schema
from rnnjax.runs.checkpoint_store import CheckpointStore
from rnnjax.runs.folder import current_environment, run_folder
from rnnjax.runs.json_io import read_json, read_records, write_bytes
from rnnjax.runs.merge import merge_runs
from rnnjax.runs.reader import load_run, read_config, read_model, read_vocabulary
from rnnjax.runs.tensorboard import write_pictures
from rnnjax.runs.writer import MemberWriter, rewind_member

MEMBER = "members/lstm-seed0"
RUN_FILES = ("config.json", "environment.json", "task.json", "vocabulary.json")
MEMBER_FILES = (
    "member.json", "model.json", "vocabulary.json", "metrics.jsonl", "gradients.jsonl", "params.msgpack",
    "result.json", "diagnosis-start.json", "diagnosis-end.json", "diverged.json", "failure.json",
)  # fmt: skip
FILES = (*RUN_FILES, *(f"{MEMBER}/{name}" for name in MEMBER_FILES))
FOLDERS = ("members", MEMBER)
NOT_REGULAR = "not a regular file"


def link(path):
    path.symlink_to(next(above for above in path.parents if above.name.startswith("shard")).parent / "secret")


def socket_file(path):
    before = os.getcwd()
    os.chdir(path.parent)  # the path of a socket may have a hundred bytes only
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(before)


def sparse(path):
    with path.open("wb") as file:
        file.truncate(1 << 40)


def folder(path):
    path.mkdir()


SPECIAL = {
    "link": (link, "it is a symbolic link, which is not followed here"),
    "dangling link": (lambda path: path.symlink_to("nowhere"), "it is a symbolic link, which is not followed here"),
    "endless link": (lambda path: path.symlink_to("/dev/zero"), "it is a symbolic link, which is not followed here"),
    "pipe": (os.mkfifo, f"it is a pipe, {NOT_REGULAR}"),
    "socket": (socket_file, f"it is a socket, {NOT_REGULAR}"),
    "huge and sparse": (sparse, "it has more than "),
    "folder": (folder, "Is a directory"),
}


@pytest.fixture
def shards(tmp_path):
    """Two shards of one study, and a file outside of them."""
    (tmp_path / "secret").write_text('{"secret": "a key of the user"}')
    runs = [write_run(tmp_path / f"shard{i}", flags={"shard": f"{i}/2"}) for i in (1, 2)]
    write_member(runs[0], "LSTM")
    write_member(runs[1], "GRU")
    return runs


def refusal(call, *arguments):
    with pytest.raises(UserError) as error:
        call(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", FILES)
def test_no_special_file_is_read_or_copied(shards, tmp_path, name, kind):
    make, reason = SPECIAL[kind]
    path = shards[0] / name
    path.unlink(missing_ok=True)
    make(path)
    if path.name == "params.msgpack":
        with pytest.raises(OSError, match=reason):
            read_regular(path, 1 << 20, follow_links=False)
    else:
        read = {
            "vocabulary.json": lambda: read_vocabulary(path.parent),
            "model.json": lambda: read_model(shards[0], path.parent),
        }.get(path.name, lambda: load_run(shards[0]))
        assert refusal(read).startswith(f"'{path}' cannot be read ({reason}")
    assert reason in refusal(merge_runs, shards, tmp_path / "out")
    copied = [p for p in (tmp_path / "out").rglob("*") if p.is_file() and b"a key of" in p.read_bytes()]
    assert copied == []


@pytest.mark.parametrize("name", FOLDERS)
def test_a_link_in_place_of_a_folder_is_not_followed(shards, tmp_path, name):
    (shards[0] / name).rename(tmp_path / "elsewhere")
    (shards[0] / name).symlink_to(tmp_path / "elsewhere")
    reason = f"'{shards[0] / name}' cannot be read (it is a symbolic link, which is not followed here)"
    assert refusal(load_run, shards[0]).startswith(reason)
    assert refusal(merge_runs, shards, tmp_path / "out").startswith(reason)


def test_all_files_of_a_member_are_tried_and_only_they_are_copied(shards, tmp_path):
    assert {*MEMBER_FILES} == {*schema.MEMBER_FILES}
    (shards[0] / MEMBER / "other.txt").symlink_to(tmp_path / "secret")
    merge_runs(shards, tmp_path / "out")
    assert not os.path.lexists(tmp_path / "out" / MEMBER / "other.txt")
    assert (tmp_path / "out" / MEMBER / "member.json").is_file()


@pytest.mark.parametrize("name", ["report.html", "table.csv", "table.parquet"])
@pytest.mark.parametrize("suffix", ["", ".partial"])
def test_a_report_is_never_written_through_a_link(shards, tmp_path, name, suffix):
    (shards[0] / (name + suffix)).symlink_to(tmp_path / "secret")
    write_report(shards[0])
    assert (tmp_path / "secret").read_text() == '{"secret": "a key of the user"}'
    assert not (shards[0] / name).is_symlink()


def test_figures_are_not_drawn_into_a_linked_folder(shards, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (shards[0] / "figures").symlink_to(tmp_path / "elsewhere")
    assert refusal(write_report, shards[0]) == (
        f"The report cannot be written into '{shards[0]}' (it is a symbolic link, which is not followed here); make "
        "the folder writable."
    )
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["tensorboard", "figures/one.png"])
def test_figures_reach_tensorboard_through_no_link(tmp_path, name):
    elsewhere, run = tmp_path / "elsewhere", tmp_path / "run"
    for folder in (elsewhere, run / "figures"):
        folder.mkdir(parents=True)
    Image.new("RGB", (6, 4)).save(elsewhere / "one.png")
    (elsewhere / "events.out.tfevents.1.host").write_text("precious")
    (run / name).symlink_to(elsewhere / "one.png" if name == "figures/one.png" else elsewhere)
    assert refusal(write_pictures, run / "tensorboard", sorted((run / "figures").glob("*.png"))) == (
        f"The figures cannot be written for TensorBoard ('{run / name}': it is a symbolic link, which is not followed "
        "here); fix that, or leave out --tensorboard."
    )
    assert {path.name for path in elsewhere.iterdir()} == {"one.png", "events.out.tfevents.1.host"}
    assert (elsewhere / "events.out.tfevents.1.host").read_text() == "precious"


@pytest.mark.parametrize("name", ["metrics.jsonl", "gradients.jsonl", "tensorboard"])
def test_training_goes_on_through_no_link(tmp_path, name):
    secret, member = tmp_path / "secret", tmp_path / "member"
    secret.mkdir() if name == "tensorboard" else secret.write_text("precious")
    member.mkdir()
    (member / name).symlink_to(secret)

    def go_on():
        rewind_member(member, {"metrics.jsonl": 0, "gradients.jsonl": 0}, failed=False, validated=False)
        MemberWriter(member, tensorboard=True).close()

    with pytest.raises(OSError, match="it is a symbolic link"):
        go_on()
    assert list(secret.iterdir()) == [] if name == "tensorboard" else secret.read_text() == "precious"


@pytest.mark.parametrize("name", [".lock", "members", "config.json"])
def test_a_run_is_continued_through_no_link(shards, tmp_path, name):
    run = shards[0]
    config = read_config(run)
    if os.path.lexists(run / name):
        (run / name).rename(tmp_path / "moved")
    (run / name).symlink_to(tmp_path / ("moved" if name == "members" else "secret"))

    def go_on():
        with run_folder(str(run), config, current_environment([], "default"), resume=True, difference=lambda _: []):
            pytest.fail("it was opened")

    assert "it is a symbolic link, which is not followed here" in refusal(go_on)
    assert (tmp_path / "secret").read_text() == '{"secret": "a key of the user"}'


def test_checkpoints_are_neither_written_nor_read_through_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "checkpoints").symlink_to(tmp_path / "elsewhere")
    for place in (tmp_path / "checkpoints", tmp_path / "checkpoints" / "lstm-seed0"):
        with pytest.raises(OSError, match="it is a symbolic link"):
            CheckpointStore(place, keep=1, warn=pytest.fail)


def test_a_line_without_an_end_and_a_file_that_grows_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    with path.open("wb") as file:
        file.truncate(5000)
    monkeypatch.setattr(json_io, "MOST_LINE_BYTES", 1024)
    assert refusal(read_records, path) == f"'{path}' cannot be read (it has more than 1 kB); restore it or run again."
    monkeypatch.setattr(json_io, "MOST_BYTES", 2048)
    assert refusal(read_json, path) == f"'{path}' cannot be read (it has more than 2 kB); restore it or run again."


def test_bytes_are_never_written_through_a_link(tmp_path):
    (tmp_path / "secret").write_text("precious")
    for name in ("x", "x.partial"):
        (tmp_path / name).symlink_to(tmp_path / "secret")
    write_bytes(tmp_path / "x", b"new")
    assert (tmp_path / "secret").read_text() == "precious"
    assert (tmp_path / "x").read_bytes() == b"new"
    assert not Path(tmp_path / "x").is_symlink()
