import csv
import json

import pytest

from rnnjax.data.files.text_reader import Row, read_rows
from rnnjax.errors import UserError


@pytest.fixture
def read(tmp_path):
    """Writes a file and reads its rows."""

    def read(name, content, text_column=None, label_column=None):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_rows(path, text_column=text_column, label_column=label_column)

    return read


NASTY = (
    "\ufefftext\tlabel\r\n"
    '"tabs\tin\tquotes"\tpos\r\n'
    "\r\n"
    '"she said ""no"" twice,\r\nand left"\t neg \r\n'
    "\t\r\n"
    'a "quoted" word, inside\tpos\r\n'
    '  \t"  "\r\n'
    '"!"\tneg\r\n'
    '""\tpos'
)


def test_quotes_tabs_line_ends_empty_rows_byte_order_mark_and_crlf(read):
    rows, skipped = read("nasty.TSV", NASTY)
    assert rows == [
        Row("tabs\tin\tquotes", "pos", 2),
        Row('she said "no" twice,\r\nand left', "neg", 4),
        Row('a "quoted" word, inside', "pos", 7),
        Row("!", "neg", 9),
        Row("", "pos", 10),
    ]
    assert skipped == 3


@pytest.mark.parametrize(("suffix", "dialect"), [("csv", "excel"), ("csv", "unix"), ("tsv", "excel-tab")])
def test_what_pythons_csv_writes_is_read_back(suffix, dialect, tmp_path):
    texts = ['a,"b"', "tab\there", "line\nends\r\nand more", '""', "'", "naïve 😀\u2028x", "x" * 200_000]
    path = tmp_path / f"a.{suffix}"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, dialect)
        writer.writerows([["id", "Review", "Class"], *([i, text, i % 2] for i, text in enumerate(texts))])
    rows, skipped = read_rows(path, text_column=None, label_column=None)
    assert [(row.text, row.label) for row in rows] == [(text, str(i % 2)) for i, text in enumerate(texts)]
    assert [row.line for row in rows] == [2, 3, 4, 7, 8, 9, 10]
    assert skipped == 0


def test_json_lines(read):
    objects = [
        {"text": 'a "b"\n\u2028', "label": 2, "id": 7},
        {"label": "x ", "text": ""},
        {"text": "c", "label": True},
    ]
    lines = [json.dumps(one, ensure_ascii=False) for one in objects]
    rows, skipped = read(
        "a.jsonl", "\r\n".join([lines[0], "", lines[1], "{}", '{"text": "", "label": null}', lines[2]])
    )
    assert rows == [Row('a "b"\n\u2028', "2", 1), Row("", "x", 3), Row("c", "true", 6)]
    assert skipped == 3


@pytest.mark.parametrize(
    ("header", "flags", "expected"),
    [
        ("text,label", (None, None), "ab"),
        ("LABEL,Text", (None, None), "ba"),
        ("sentence,sentiment", (None, None), "ab"),
        ("content,text,target,label", (None, None), "bd"),
        ("title,review,stars", (None, "stars"), "bc"),
        ("text,label,kind,body", ("body", "kind"), "dc"),
        (",text,,label", (None, None), "bd"),
    ],
)
def test_columns_are_found(header, flags, expected, read):
    fields = "abcd"[: header.count(",") + 1]
    (row,), _ = read("a.csv", f"{header}\n{','.join(fields)}\n", *flags)
    assert row.text + row.label == expected


@pytest.mark.parametrize(
    ("header", "flags", "words"),
    [
        ("great film,pos", (None, None), ["its first line", '"great film", "pos"', "--text-column"]),
        ("text;label", (None, None), ["No column", '"text;label"']),
        ("text,stars", (None, None), ["No column", "label, class, sentiment", '"text", "stars"', "--label-column"]),
        ("review,sentence,label", (None, None), ["More than one column", "--text-column"]),
        ("text,Text,label", (None, None), ["More than one column", "--text-column"]),
        ("text,label", ("body", None), ["No column of", '"body"', '"text", "label"', "--text-column"]),
        ("text,label", (None, "text"), ["cannot hold both", "--label-column"]),
    ],
)
def test_columns_that_are_not_clear_are_listed_with_the_flag(header, flags, words, read):
    with pytest.raises(UserError) as error:
        read("a.csv", f"{header}\n{','.join('x' * (header.count(',') + 1))}\n", *flags)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", 'text\tlabel\n"a\nb"\tx\nc\n', "^Line 4 .* 1 instead of 2 fields"),
        ("a.tsv", "text\tlabel\n\na\tb\tx\n", "^Line 3 .* 3 instead of 2 fields"),
        ("a.tsv", 'text\tlabel\n"a\nb"\t \n', "^Line 2 .* no label"),
        ("a.tsv", 'text\tlabel\na\tx\n"b\nc\tx\n', "quote .* line 3 of .* never closed"),
        ("a.tsv", 'text\tlabel\n"a\n""b"\t"x\ny\n', "quote .* line 3 of .* never closed"),
        ("a.tsv", 'text\tlabel\nb"\t"x""', "quote .* line 2 of .* never closed"),
        ("a.tsv", '"text\tlabel\na\tx\n', "quote .* line 1 of .* never closed"),
        ("a.tsv", 'text\tlabel\n"a\n" b\tx\nc\tx\n', "^Line 2 .* cannot be parsed"),
        ("a.tsv", b"text\tlabel\n\na\tx\nn\xe4h\ty\n", "^Line 4 .* is not UTF-8 .byte 0xe4.; save"),
        ("a.tsv", b"text\rlabel\r\nz\xf0\x9f\x98", "^Line 3 .* is not UTF-8"),
        ("a.tsv", "text\tlabel\na\0\tx\n", "^Line 2 .* NUL"),
        ("a.tsv", "", "no labelled text"),
        ("a.csv", "\n\n", "no labelled text"),
        ("a.csv", "text,label\n,\n", "no labelled text"),
        ("a.jsonl", "\n{}\n", "no labelled text"),
        ("a.jsonl", '\n{"text": "a"', "^Line 2 .* not JSON"),
        ("a.jsonl", "[" * 100_000, "^Line 1 .* not JSON"),
        ("a.jsonl", '["a", "x"]', "^Line 1 .* not an object"),
        ("a.jsonl", '{"text": "a", "label": "x"}\n{"text": "b"}', '^Line 2 .* no key "label"'),
        ("a.jsonl", '{"text": "a", "label": null}', "^Line 1 .* no label"),
        ("a.jsonl", '{"text": "a", "label": 0.5}', "^Line 1 .* neither a string nor an integer"),
        ("a.jsonl", '{"text": 3, "label": 1}', "^Line 1 .* no string"),
        ("a.txt", "text\tlabel", r"\.tsv, \.csv, \.jsonl"),
    ],
)
def test_what_is_wrong_is_reported_with_its_line(name, content, message, read):
    with pytest.raises(UserError, match=message) as error:
        read(name, content)
    assert name in str(error.value)


def test_a_missing_file_and_a_folder_are_reported(tmp_path):
    with pytest.raises(UserError, match="There is no file"):
        read_rows(tmp_path / "missing.tsv", text_column=None, label_column=None)
    (tmp_path / "folder.tsv").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        read_rows(tmp_path / "folder.tsv", text_column=None, label_column=None)
