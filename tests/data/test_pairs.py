import json

import numpy as np
import pytest

from segtune.data.pairs import Pair, decode_rle, encode_rle, format_of, read_pairs, write_pairs
from segtune.errors import DataError, SegtuneError

MASK = np.arange(20).reshape(4, 5) % 3 == 0


def pair(text="traffic light", **changes):
    values = {
        "image": "photos/a.jpg",
        "id": "a",
        "size": (4, 5),
        "rle": encode_rle(MASK),
        "box_px": (0, 0, 5, 4),
        "text": text,
        "noun": text,
        "caption": 1,
        "score": 0.25,
        "source": "ground-truth",
    }
    return Pair(**(values | changes))


def test_the_mask_comes_back():
    assert (pair().mask() == MASK).all()
    for mask in (np.zeros((3, 2), bool), np.ones((3, 2), bool)):
        assert (decode_rle(encode_rle(mask), (3, 2)) == mask).all()


def test_json_lines_round_trip(tmp_path):
    path = tmp_path / "new" / "pairs.jsonl"
    pairs = [pair(), pair("café table", score=-0.5)]
    assert write_pairs(path, iter(pairs)) == 2
    assert list(read_pairs(path)) == pairs
    row = json.loads(path.read_text(encoding="utf-8").splitlines()[1])
    assert (row["text"], row["box"], row["size"]) == ("café table", [0, 0, 5, 4], [4, 5])


def test_no_pairs_make_an_empty_file(tmp_path):
    path = tmp_path / "pairs.jsonl"
    assert write_pairs(path, []) == 0
    assert list(read_pairs(path)) == []


def test_a_failure_leaves_the_old_file(tmp_path):
    path = tmp_path / "pairs.jsonl"
    write_pairs(path, [pair()])
    before = path.read_bytes()

    def broken():
        yield pair()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_pairs(path, broken())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["pairs.jsonl"]


@pytest.mark.parametrize("line", ["{}", "[]", '{"image": "a"}', "null"])
def test_a_bad_row_is_named(tmp_path, line):
    path = tmp_path / "pairs.jsonl"
    write_pairs(path, [pair()])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"pairs\.jsonl row 2 is no mask-category pair"):
        list(read_pairs(path))
    path.write_text("noise")
    with pytest.raises(DataError, match="line 1 is not valid JSON"):
        list(read_pairs(path))


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="`segtune mine` writes such a file"):
        list(read_pairs(tmp_path / "none.jsonl"))


def test_the_ending_chooses_the_format(tmp_path):
    assert format_of(tmp_path / "a.parquet") == "parquet"
    assert format_of(tmp_path / "a.jsonl") == format_of(tmp_path / "a.txt") == "jsonl"


def test_parquet_without_pyarrow_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(SegtuneError, match=r"pip install 'segtune\[parquet\]'"):
        write_pairs(tmp_path / "a.parquet", [pair()], format="parquet")


def test_parquet_round_trip(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "pairs.parquet"
    pairs = [pair(), pair("café table", score=-0.5)]
    assert write_pairs(path, pairs, format="parquet") == 2
    assert list(read_pairs(path)) == pairs
    write_pairs(path, [], format="parquet")
    assert list(read_pairs(path)) == []
