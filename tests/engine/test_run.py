"""Runs of a small graph: bad rows, shards that fail, and nothing that is done twice."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from segtune.engine.run import is_work, run_graph
from segtune.engine.source import divided
from segtune.engine.work import ALLOWED_BAD
from segtune.errors import DataError, SegtuneError
from tests.engine.toys import toy, words

WORDS = words("abc", "cab", "x1", "dee", "e", "fgh")


def calls(folder: Path) -> list[str]:
    log = folder / "calls.log"
    return log.read_text().splitlines() if log.exists() else []


def run(tmp_path: Path, rows=WORDS, *, plus: int = 0, size: int = 2, **options):
    graph = toy(tmp_path, plus)
    ran = run_graph(graph, divided(rows, size), tmp_path / "work", progress=False, **options)
    return ran, list(ran.in_order(ran.columns(graph, ("letters", "count"))))


def test_rows_come_in_their_order_with_what_is_bad(tmp_path: Path) -> None:
    ran, rows = run(tmp_path)
    assert [place for place, _, _ in rows] == list(range(6))
    assert [row and row["count"] for _, row, _ in rows] == [3, 3, None, 2, 1, 3]
    assert [why for *_, why in rows] == ["", "", "w2 has a digit", "", "", ""]
    assert ran.bad == {(1, 0): "w2 has a digit"}
    assert (ran.made, ran.there, ran.rows_there) == (6, 0, 0)
    assert is_work(tmp_path / "work")


def test_which_folders_are_those_of_runs(tmp_path: Path) -> None:
    folder = tmp_path / "a.part"
    assert not is_work(folder)
    folder.mkdir()
    assert is_work(folder)  # killed, or the disk was full, before the first file
    (folder / ".half.tmp").touch()
    assert is_work(folder)
    (folder / "notes.txt").touch()
    assert not is_work(folder)
    (folder / "graph.json").touch()
    assert is_work(folder)


def test_nothing_is_done_twice(tmp_path: Path) -> None:
    run(tmp_path)
    before = calls(tmp_path)
    assert sorted(before) == sorted(set(before))
    ran, _ = run(tmp_path)
    assert calls(tmp_path) == before
    assert (ran.made, ran.there, ran.rows_there) == (0, 6, 6)


def test_a_late_setting_reruns_late_stages(tmp_path: Path) -> None:
    run(tmp_path)
    before = len(calls(tmp_path))
    _, rows = run(tmp_path, plus=10)
    assert [row and row["count"] for _, row, _ in rows] == [13, 13, None, 12, 11, 13]
    assert {call.split()[0] for call in calls(tmp_path)[before:]} == {"count"}
    lines = [json.loads(x) for x in (tmp_path / "work/manifest.jsonl").read_text().splitlines()]
    assert [line["stage"] for line in lines[-3:]] == ["count"] * 3
    assert lines[0]["rows"] == 2


def test_new_words_need_new_letters_only(tmp_path: Path) -> None:
    run(tmp_path)
    before = len(calls(tmp_path))
    run(tmp_path, [*WORDS, *words("az")])
    after = calls(tmp_path)[before:]
    assert [call for call in after if call.startswith("letters")] == ["letters w0"]
    assert [call for call in after if call.startswith("table")] == ["table z"]


def test_a_shard_of_bad_rows_fails_and_the_others_are_done(tmp_path: Path) -> None:
    count = ALLOWED_BAD + 1
    rows = words("a", "b", *["1"] * count, "c")
    with pytest.raises(
        SegtuneError, match=rf"1 of 2 shards failed; letters of shard 0: {count} of"
    ):
        run(tmp_path, rows, size=count + 2)
    assert f"letters w{count + 2}" in calls(tmp_path)
    before = len(calls(tmp_path))
    ran, found = run(tmp_path, rows, size=count + 2, max_bad=0.9)
    assert len(ran.bad) == count
    assert [row and row["count"] for _, row, _ in found] == [1, 1, *[None] * count, 1]
    assert f"letters w{count + 2}" not in calls(tmp_path)[before:]


def test_a_full_disk_on_one_shard_loses_that_shard_alone(tmp_path: Path, monkeypatch) -> None:
    from pyarrow import parquet

    write, seen = parquet.write_table, []

    def full(table, path, **options):
        seen.append(path)
        if len(seen) == 2:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(table, path, **options)

    monkeypatch.setattr(parquet, "write_table", full)
    with pytest.raises(DataError, match="No space left on device; nothing was changed"):
        run(tmp_path)
    assert len(list((tmp_path / "work" / "letters").iterdir())) == 1
    _, rows = run(tmp_path)
    assert [row and row["count"] for _, row, _ in rows] == [3, 3, None, 2, 1, 3]
    assert sum(call == "letters w0" for call in calls(tmp_path)) == 1
