import json
import math

import pytest

from rnnjax.errors import UserError
from rnnjax.runs.json_io import RecordWriter, read_json, read_records, write_bytes, write_json


def test_records_come_back_in_order_and_are_on_disk_at_once(tmp_path):
    path = tmp_path / "records.jsonl"
    writer = RecordWriter(path)
    writer.append({"step": 0, "norms": [0.5, 1e-30]})
    assert read_records(path) == [{"step": 0, "norms": [0.5, 1e-30]}]  # before it is closed: a kill loses nothing
    writer.append({"step": 1, "norms": [math.inf]})
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.append({})
    again = RecordWriter(path)
    again.append({"step": 2, "norms": []})
    again.close()
    assert [record["step"] for record in read_records(path)] == [0, 1, 2]
    assert read_records(path)[1]["norms"] == [math.inf]


def test_not_a_number_survives(tmp_path):
    writer = RecordWriter(tmp_path / "records.jsonl")
    writer.append({"loss": math.nan})
    writer.close()
    assert math.isnan(read_records(tmp_path / "records.jsonl")[0]["loss"])


def test_a_torn_last_line_is_left_out_wherever_it_tore(tmp_path):
    path = tmp_path / "records.jsonl"
    whole = '{"step": 0, "sign": "é"}\n'.encode()
    last = '{"step": 1, "sign": "é"}'.encode()
    for kept in range(len(last)):
        path.write_bytes(whole + last[:kept])
        assert [record["step"] for record in read_records(path)] == [0]
    path.write_bytes(whole + last)  # torn between the record and its line end: nothing is missing
    assert [record["step"] for record in read_records(path)] == [0, 1]


def test_a_torn_line_in_the_middle_is_damage(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text('{"step": 0\n{"step": 1}\n')
    with pytest.raises(UserError, match=r"records\.jsonl' is damaged in line 1, not valid JSON \(.*\); restore it or"):
        read_records(path)


def test_a_missing_file_has_no_records(tmp_path):
    assert read_records(tmp_path / "records.jsonl") == []


def test_json_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    write_json(path, {"accuracy": 0.5})
    assert json.loads(path.read_text()) == {"accuracy": 0.5}
    with pytest.raises(TypeError):
        write_json(path, {"accuracy": object()})
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write_json(path, {"accuracy": 0.9})
    assert json.loads(path.read_text()) == {"accuracy": 0.5}


def test_bytes_replace_what_was_there_and_leave_no_neighbour(tmp_path):
    path = tmp_path / "params.msgpack"
    for content in (b"long content", b"\x00"):
        write_bytes(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "said"),
    [("[1]", "expected object, got array"), ("{", "not valid JSON"), (b"\xff".decode("latin1"), "not valid JSON")],
)
def test_a_file_that_holds_no_object_is_said(tmp_path, content, said):
    path = tmp_path / "result.json"
    path.write_text(content, encoding="latin1")
    with pytest.raises(UserError, match=rf"result\.json' is damaged, {said}.*; restore it or run again\.$"):
        read_json(path)
    write_json(path, {"accuracy": 0.5})
    assert read_json(path) == {"accuracy": 0.5}
