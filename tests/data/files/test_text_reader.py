import csv
import gzip
import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rnnjax.data.files.text_reader import Row, TextFormat, read_rows
from rnnjax.errors import UserError


@pytest.fixture
def read(tmp_path):
    """Writes a file and reads its rows."""

    def read(name, content, text_column=None, label_column=None, **options):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        columns = () if text_column is None else (text_column,) if isinstance(text_column, str) else text_column
        form = TextFormat(columns, label_column, options.pop("header", True), options.pop("encoding", "utf-8"))
        return read_rows(path, form, **options)

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
    rows, skipped = read_rows(path, TextFormat())
    assert [(row.text, row.label) for row in rows] == [(text, str(i % 2)) for i, text in enumerate(texts)]
    assert [row.line for row in rows] == [2, 3, 4, 7, 8, 9, 10]
    assert skipped == 0


def test_lines_of_a_txt_file_end_at_line_ends_alone(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("a\u2028b\x0cc\r\n\nd\u0085e\n".encode())
    rows, skipped = read_rows(path, TextFormat(), labelled=False)
    assert rows == [Row("a\u2028b\x0cc", "", 1), Row("d\u0085e", "", 3)]
    assert skipped == 1


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
        ("a.csv", 'text,label\nb",""x""', "^Line 2 .* cannot be parsed"),
        ("a.csv", '"text,label\na,x\n', "quote .* line 1 of .* never closed"),
        ("a.tsv", '"text\tlabel\na\tx\n', 'first JSON object. names ""text", "label"'),
        ("a.tsv", 'text\tlabel\n"a\tx\nb\tx\n"\tx\nc\n', "line 2 of .* closed only on line 4, though line 4 looks"),
        ("a.tsv", 'text\tlabel\nx\ty\tz\n"a\tx\nb\n"\tx\n', "^Line 2 .* 3 instead of 2 fields"),
        ("a.jsonl", '{"text": "a", "label": "\\ud83d"}', r"^Line 1 of .* has a label with .ud83d, which is half"),
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
        read_rows(tmp_path / "missing.tsv", TextFormat())
    (tmp_path / "folder.tsv").mkdir()
    with pytest.raises(UserError, match=r"does not hold a folder of .txt files for each class"):
        read_rows(tmp_path / "folder.tsv", TextFormat())


QUOTES = ['" starts here', "plain", '"', 'says "yes"', '"quoted whole"', '"it ""is"" so"', 'ends here "']


def test_double_quotes_of_an_unquoted_tsv_are_text_and_no_row_is_lost(read):
    texts = QUOTES * 25
    notes = []
    rows, _ = read(
        "a.tsv", "label\ttext\n" + "".join(f"{i}\t{text}\n" for i, text in enumerate(texts)), note=notes.append
    )
    assert [(row.label, row.line) for row in rows] == [(str(i), i + 2) for i in range(len(texts))]
    assert [row.text for row in rows[:7]] == [*QUOTES[:4], "quoted whole", 'it "is" so', QUOTES[-1]]
    (note,) = notes
    assert note.partition("a.tsv ")[2] == (
        "has 50 fields with an unclosed double quote; it is read as text, and every line as a row"
    )


def test_a_row_that_spans_lines_is_told(read):
    notes = []
    rows, _ = read("a.tsv", 'text\tlabel\n"one\ntwo"\tx\nthree\ty\n', note=notes.append)
    assert [row.text for row in rows] == ["one\ntwo", "three"]
    assert [note.partition("a.tsv ")[2] for note in notes] == [
        "spans several lines, from a double quote that opens a field to the one that closes it"
    ]


@given(st.lists(st.tuples(*[st.text(alphabet='ab" ,', max_size=4)] * 2), min_size=1))
def test_every_line_of_a_tsv_with_the_same_tabs_is_one_row(fields):
    lines = [f"x{text}\tx{label}" for text, label in fields]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tsv"
        path.write_text("text\tlabel\n" + "\n".join(lines))
        rows, skipped = read_rows(path, TextFormat())
    assert [f"{row.text}\t{row.label}" for row in rows] == [line.rstrip() for line in lines]
    assert skipped == 0


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16", "cp1252"])
@pytest.mark.parametrize(("suffix", "content"), [
    (".csv", "text,label\nnaïve,é\n"), (".tsv", "text\tlabel\nnaïve\té\n"),
    (".jsonl", '{"text": "naïve", "label": "é"}'),
])  # fmt: skip
def test_encodings_and_compression(suffix, content, encoding, compress, read):
    name = f"a{suffix}.gz" if compress is gzip.compress else f"a{suffix}"
    rows, _ = read(name, compress(content.encode(encoding)), encoding=encoding)
    assert [(row.text, row.label) for row in rows] == [("naïve", "é")]


def test_columns_by_number_without_a_header_and_several_columns_as_one_text(read):
    content = "3,A title,the body\n1,Other,more\n"
    rows, _ = read("a.csv", content, ("2", "3"), "1", header=False)
    assert rows == [Row("A title\nthe body", "3", 1), Row("Other\nmore", "1", 2)]
    rows, _ = read("a.jsonl", '{"title": "A", "body": "b", "label": 1}', ("title", "body"))
    assert rows == [Row("A\nb", "1", 1)]


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("a.csv", "a,b\n", {"header": False}, 'Without a header line the columns of .* are "1", "2"; give the number'),
        (
            "a.csv",
            "a,b\n",
            {"header": False, "text_column": "text", "label_column": "1"},
            'No column of .*a.csv is called "text": without a header line they are "1", "2"; give one of these with',
        ),
        ("a.csv", "text,label\n", {"encoding": "latin"}, None),
        ("a.csv", "text,label\n", {"encoding": "klingon"}, "There is no text encoding 'klingon'; give one that Python"),
        ("a.csv", "text,label\n", {"encoding": "base64"}, "There is no text encoding 'base64'"),
        ("a.csv", b"text,label\n\x81,b", {"encoding": "cp1252"}, r"^Line 2 of .* is not cp1252 \(byte 0x81\); name"),
        ("a.csv.gz", b"text,label\n", {}, "a.csv.gz is no whole gzip file"),
        ("a.csv.gz", gzip.compress(b"text,label\na,b\n", mtime=0)[:-9], {}, "a.csv.gz is no whole gzip file"),
        ("a.txt.gz", b"", {}, "of an unknown kind"),
        ("a.csv", "text,label,label2\na,b,c", {"text_column": ("text", "label")}, '"label" cannot hold both'),
    ],
)
def test_what_does_not_fit_the_flags_is_one_sentence(name, content, options, message, read):
    with pytest.raises(UserError, match=message or "no labelled text"):
        read(name, content, **options)


def test_a_gzip_file_that_unpacks_to_too_much_is_refused(read, monkeypatch):
    monkeypatch.setattr("rnnjax.data.files.file_reader.LARGEST_UNPACKED", 2**20)
    with pytest.raises(UserError, match=r"a.csv.gz holds more than 1 MiB without its compression; give a smaller file"):
        read("a.csv.gz", gzip.compress(b"a" * (2**20 + 1)))


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(
        UserError, match=r"a.csv cannot be read \(it is a pipe, not a regular file\); give a readable file"
    ):
        read_rows(tmp_path / "a.csv", TextFormat())


def test_texts_without_labels(read, tmp_path):
    rows, skipped = read("a.txt", "one\n\ntwo\n", labelled=False)
    assert (rows, skipped) == ([Row("one", "", 1), Row("two", "", 3)], 1)
    rows, _ = read("a.csv", "id,text\n7,one\n", labelled=False)
    assert rows == [Row("one", "", 2)]
    (tmp_path / "new" / "deep").mkdir(parents=True)
    (tmp_path / "new" / "deep" / "x.txt").write_text("three")
    rows, _ = read_rows(tmp_path / "new", TextFormat(), labelled=False)
    assert [(row.text, row.file) for row in rows] == [("three", tmp_path / "new" / "deep" / "x.txt")]
    with pytest.raises(UserError, match=r"has no text; give a .txt file with one text on each line"):
        read("b.txt", "\n", labelled=False)
