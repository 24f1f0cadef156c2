"""Shards on disk: one Parquet file per stage and shard, with the key of what it depends on.

    WORK/<stage>/00012.parquet       columns of the stage, one row per row that is not bad
    WORK/<stage>/00012.bad.parquet   rows that it could do nothing with, and why
    WORK/<table>.parquet             table of a step over all shards
    WORK/manifest.jsonl              what was made, in the order in which it was

A file is written under a temporary name and renamed, with its key inside: it is there and whole, or
it is not there. The manifest is for people; what is done is read off the files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segtune.engine.graph import Bad, Kind, Row
from segtune.errors import DataError, SegtuneError
from segtune.storage.files import atomic_write

ROW = "row"
"""Column of a row's number in its shard, by which columns of several stages belong together."""
KEY, SECONDS, NUM_BAD = b"segtune.key", b"segtune.seconds", b"segtune.bad"
_TYPES = {"text": "string", "int": "int64", "float": "float64", "bytes": "binary", "json": "string"}


class ShardStore:
    """The files of a run.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def shard_path(self, stage: str, shard: int) -> Path:
        """Returns where the columns of a shard are."""
        return self.folder / stage / f"{shard:05d}.parquet"

    def bad_path(self, stage: str, shard: int) -> Path:
        """Returns where the bad rows of a shard are."""
        return self.folder / stage / f"{shard:05d}.bad.parquet"

    def table_path(self, table: str) -> Path:
        """Returns where a table over all shards is."""
        return self.folder / f"{table}.parquet"

    def has(self, path: Path, key: str) -> bool:
        """Whether a file is there and was made of what `key` stands for."""
        return self.about(path).get(KEY) == key.encode()

    def about(self, path: Path) -> Mapping[bytes, bytes]:
        """Returns what a file says of itself; nothing where it is missing or damaged."""
        parquet = _parquet()
        if not path.is_file():
            return {}
        try:
            return parquet.read_schema(path).metadata or {}
        except (OSError, ValueError):  # what pyarrow raises of damaged files
            return {}

    def write(
        self,
        stage: str,
        shard: int,
        results: Sequence[tuple[int, Row | Bad]],
        *,
        columns: Mapping[str, Kind],
        key: str,
        seconds: float = 0.0,
    ) -> int:
        """Writes a shard of a stage and returns its bytes.

        Args:
            stage, shard: which.
            results: (number of the row, its columns or why there are none).
            columns: that the rows have.
            key: of what they depend on.
            seconds: that they took.
        """
        good = [{ROW: number, **row} for number, row in results if not isinstance(row, Bad)]
        bad = [{ROW: n, "reason": row.reason} for n, row in results if isinstance(row, Bad)]
        about = {KEY: key.encode(), SECONDS: f"{seconds:.3f}".encode(), NUM_BAD: b"%d" % len(bad)}
        side = self.bad_path(stage, shard)
        if bad:
            self._write(side, bad, {ROW: "int", "reason": "text"}, {KEY: key.encode()})
        else:
            side.unlink(missing_ok=True)
        return self._write(self.shard_path(stage, shard), good, {ROW: "int", **columns}, about)

    def write_table(
        self, table: str, rows: Sequence[Row], *, columns: Mapping[str, Kind], key: str
    ) -> int:
        """Writes the table of a step over all shards and returns its bytes."""
        return self._write(self.table_path(table), rows, columns, {KEY: key.encode()})

    def read(self, path: Path, columns: Mapping[str, Kind]) -> list[Row]:
        """Returns the rows of a file with some of its columns.

        Raises:
            DataError: it is damaged.
        """
        parquet = _parquet()
        try:
            table = parquet.read_table(path, columns=list(columns))
            rows: list[Row] = table.to_pylist()
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"cannot read {path}: {error}; remove it, and start again") from None
        for column in (name for name, kind in columns.items() if kind == "json"):
            for row in rows:
                row[column] = json.loads(row[column])
        return rows

    def read_shard(self, stage: str, shard: int, columns: Mapping[str, Kind]) -> dict[int, Row]:
        """Returns number of the row -> columns of a stage."""
        rows = self.read(self.shard_path(stage, shard), {ROW: "int", **columns})
        return {row.pop(ROW): row for row in rows}

    def read_bad(self, stage: str, shard: int) -> dict[int, str]:
        """Returns number of the row -> why a stage could do nothing with it."""
        path = self.bad_path(stage, shard)
        if not path.is_file():
            return {}
        rows = self.read(path, {ROW: "int", "reason": "text"})
        return {row[ROW]: row["reason"] for row in rows}

    def _write(
        self,
        path: Path,
        rows: Sequence[Row],
        columns: Mapping[str, Kind],
        about: Mapping[bytes, bytes],
    ) -> int:
        import pyarrow

        fields = [pyarrow.field(name, _TYPES[kind]) for name, kind in columns.items()]
        schema = pyarrow.schema(fields, metadata=dict(about))
        values: dict[str, list[Any]] = {
            name: [_stored(row[name], kind) for row in rows] for name, kind in columns.items()
        }
        table = pyarrow.table(values, schema=schema)
        with atomic_write(path) as temporary:
            _parquet().write_table(table, temporary, compression="zstd")
        return path.stat().st_size


def check_store() -> None:
    """Raises SegtuneError where shards cannot be kept, before any work is done."""
    _parquet()


def _stored(value: Any, kind: Kind) -> Any:
    return json.dumps(value, ensure_ascii=False) if kind == "json" else value


def _parquet() -> Any:
    """Returns the module that reads and writes Parquet.

    Raises:
        SegtuneError: it is not installed.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise SegtuneError(
            "work on many images keeps its shards as Parquet; pip install 'segtune[parquet]'"
        ) from None
    return parquet
