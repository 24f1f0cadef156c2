"""JSON of strangers: read into types, and told what is wrong with file, entry and field."""

import json

import msgspec
import pytest

from segtune.errors import DataError
from segtune.storage.json_files import convert, decode_json, read_json


class Entry(msgspec.Struct):
    id: int | str
    size: list[float] | None = None


class Document(msgspec.Struct):
    images: list[Entry]
    title: str = ""


GOOD = {"images": [{"id": 1, "size": [1, 2.5], "more": {}}, {"id": "b"}], "else": 3}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_encoding_of_json(tmp_path, encoding):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(GOOD), encoding=encoding)
    document = read_json(path, Document)
    assert [entry.id for entry in document.images] == [1, "b"]
    assert document.images[0].size == [1.0, 2.5]


def test_nan_is_read_as_python_writes_it():
    document = decode_json(b'{"images": [{"id": 1, "size": [NaN]}]}', Document, where="a.json")
    assert str(document.images[0].size) == "[nan]"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.json is not valid JSON: Expecting value in line 1; copy the file again"),
        (b'{"images": [\n{"id": 1}', "is not valid JSON: .* in line 2"),
        (b"\xff\xfe\x00", "is not valid JSON: not text"),
        (b"[" * 100_000, "is not valid JSON: brackets in brackets"),
        (b"[]", r"a.json is a list; expected an object"),
        (b"{}", "a.json has no 'images'"),
        (b'{"images": {}}', "a.json: images is an object in {}; expected a list"),
        (b'{"images": [], "title": 3}', "a.json: title is a whole number; expected text"),
        (b'{"images": [7]}', r"a.json: entry 0 of 'images' is a whole number; expected an object"),
        (b'{"images": [{"id": 4}, {}]}', "a.json: entry 1 of 'images' has no 'id'"),
        (
            b'{"images": [{"id": 4, "size": [1, "2"]}]}',
            r"a.json: image 4: size\[1\] is text; expected a number",
        ),
        (
            b'{"images": [{"id": true}]}',
            "entry 0 of 'images': id is true or false; expected a whole number or text",
        ),
    ],
)
def test_what_is_wrong(content, message):
    with pytest.raises(DataError, match=message) as caught:
        decode_json(content, Document, where="a.json")
    assert "\n" not in str(caught.value)


def test_entries_can_be_left_out():
    bad = {"images": [{"id": 1}, {"id": None}, 3, {"id": 2, "size": "x"}], "title": "t"}
    skipped: list[str] = []
    document = convert(bad, Document, where="a.json", skipped=skipped)
    assert [entry.id for entry in document.images] == [1]
    assert [problem.split(":")[0] for problem in skipped] == [
        "entry 1 of 'images'",
        "entry 2 of 'images' is a whole number; expected an object in {}",
        "image 2",
    ]


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="check the path"):
        read_json(tmp_path / "a.json", Document)
