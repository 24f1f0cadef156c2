import json

import pytest

from segtune.storage.jsonl import append_line, read_lines, repair_tail


def test_lines_come_back_in_order(tmp_path):
    log = tmp_path / "new" / "log.jsonl"
    for entry in ({"a": "é"}, [1], None):
        append_line(log, entry)
    assert [json.loads(line) for line in read_lines(log)] == [{"a": "é"}, [1], None]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_torn_last_line_is_dropped_and_overwritten(tmp_path, cut):
    log = tmp_path / "log.jsonl"
    append_line(log, {"first": 1})
    whole = log.read_bytes()
    append_line(log, {"second": 2})
    log.write_bytes(log.read_bytes()[:-cut])
    assert list(read_lines(log)) == ['{"first": 1}']
    append_line(log, 3)
    assert log.read_bytes() == whole + b"3\n"


@pytest.mark.parametrize("size", [0, 10, 65535, 65536, 65537, 200_000])
def test_tails_of_any_length_are_cut(tmp_path, size):
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"1\n" + b"x" * size)
    repair_tail(log)
    assert log.read_bytes() == b"1\n"


def test_a_file_of_half_a_line_becomes_empty(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_bytes(b"x" * 100_000)
    repair_tail(log)
    assert log.read_bytes() == b""


def test_no_file_has_no_lines(tmp_path):
    assert list(read_lines(tmp_path / "none")) == []
    repair_tail(tmp_path / "none")
