"""Shards on disk: what was written comes back, and what is damaged is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow import parquet

from segtune.engine.graph import Bad
from segtune.engine.store import ShardStore
from segtune.errors import DataError

COLUMNS = {"text": "text", "n": "int", "x": "float", "raw": "bytes", "any": "json"}
ROW = {"text": "grün", "n": -3, "x": 0.1, "raw": b"\0\xff", "any": [1, None, {"a": ["b"]}]}


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    return ShardStore(tmp_path / "work")


def test_all_kinds_come_back_and_bad_rows_lie_beside(store: ShardStore) -> None:
    results = [(0, ROW), (1, Bad("a.png is no image")), (4, ROW)]
    size = store.write("s", 7, results, columns=COLUMNS, key="k")
    path = store.shard_path("s", 7)
    assert size == path.stat().st_size
    assert store.read_shard("s", 7, COLUMNS) == {0: ROW, 4: ROW}
    assert store.read_shard("s", 7, {"n": "int"}) == {0: {"n": -3}, 4: {"n": -3}}
    assert store.read_bad("s", 7) == {1: "a.png is no image"}
    assert store.has(path, "k")
    assert not store.has(path, "other")


def test_bad_rows_of_before_are_gone(store: ShardStore) -> None:
    store.write("s", 0, [(0, Bad("no"))], columns=COLUMNS, key="a")
    store.write("s", 0, [(0, ROW)], columns=COLUMNS, key="b")
    assert store.read_bad("s", 0) == {}


def test_equal_rows_give_equal_columns(store: ShardStore) -> None:
    for number in range(2):
        store.write("s", number, [(0, ROW)], columns=COLUMNS, key="k", seconds=float(number))
    one, two = (parquet.read_table(store.shard_path("s", number)) for number in range(2))
    assert one.equals(two)


@pytest.mark.parametrize("cut", [0, 4, 40, 300])
def test_half_a_file_is_none(store: ShardStore, cut: int) -> None:
    store.write("s", 0, [(0, ROW)], columns=COLUMNS, key="k")
    path = store.shard_path("s", 0)
    path.write_bytes(path.read_bytes()[:-cut] if cut else b"")
    assert not store.has(path, "k")
    with pytest.raises(DataError, match="remove it, and start again"):
        store.read_shard("s", 0, COLUMNS)


def test_a_table_over_all_shards(store: ShardStore) -> None:
    store.write_table("t", [{"v": 1}, {"v": 2}], columns={"v": "int"}, key="k")
    assert store.read(store.table_path("t"), {"v": "int"}) == [{"v": 1}, {"v": 2}]
    assert store.has(store.table_path("t"), "k")
