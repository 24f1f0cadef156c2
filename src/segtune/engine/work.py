"""The stages of a phase on one shard, as every process and every actor does it.

What is on disk with the right key is read, what is not is made and written, so doing a shard twice
costs one look at its files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segtune.data.readable import is_bad_image, what_is_bad
from segtune.engine.graph import Bad, Graph, Row, RowFunction, Stage
from segtune.engine.store import ShardStore
from segtune.errors import SegtuneError

ALLOWED_BAD = 10
"""Bad rows of a shard that never make it fail, as one per cent of few rows is none."""


@dataclass(frozen=True)
class Shard:
    """Rows that are worked on together.

    Attributes:
        number: its place.
        rows: what comes in.
        keys: stage -> key of its columns.
    """

    number: int
    rows: tuple[Row, ...]
    keys: Mapping[str, str]


@dataclass(frozen=True)
class Done:
    """What became of a shard in a stage.

    Attributes:
        stage, shard: which.
        key: of the file.
        rows, bad: how many.
        bytes: of the file.
        seconds: that it took; 0 where it was there already.
        is_new: it was made now.
        failed: why it was given up; None where it was not.
    """

    stage: str
    shard: int
    key: str
    rows: int
    bad: int
    bytes: int
    seconds: float
    is_new: bool
    failed: str | None = None


class StageWorker:
    """One stage, for shard after shard; its function is built when it is first needed.

    Args:
        graph: of the work.
        stage: one of its stages.
        folder: of the store.
        max_bad: share of bad rows above which a shard fails.
    """

    def __init__(self, graph: Graph, stage: Stage, folder: Path, max_bad: float) -> None:
        self.graph, self.stage, self.max_bad = graph, stage, max_bad
        self.store = ShardStore(folder)
        self._function: RowFunction | None = None

    def __call__(self, shard: Shard) -> Done | None:
        """Makes the columns of a shard where they are not there yet.

        None where a stage before this one has given the shard up.
        """
        stage, key = self.stage, shard.keys[self.stage.name]
        path = self.store.shard_path(stage.name, shard.number)
        if self.store.has(path, key):
            bad = len(self.store.read_bad(stage.name, shard.number))
            return self._done(shard, len(shard.rows), bad, path, 0.0, is_new=False)
        befores = ((name, shard.keys[name]) for name in self.graph.before(stage))
        if not all(self.store.has(self.store.shard_path(n, shard.number), k) for n, k in befores):
            return None
        begun = time.monotonic()
        rows = self._rows(shard)
        results = self._results(rows)
        bad = sum(isinstance(result, Bad) for result in results)
        seconds = time.monotonic() - begun
        if bad > max(ALLOWED_BAD, self.max_bad * len(shard.rows)):
            first = next(result.reason for result in results if isinstance(result, Bad))
            why = f"{bad} of {len(shard.rows)} rows are bad, the first: {first}"
            return Done(stage.name, shard.number, key, 0, bad, 0, seconds, True, why)
        numbered = list(zip(rows, results, strict=True))
        self.store.write(
            stage.name,
            shard.number,
            numbered,
            columns=stage.writes,
            key=key,
            seconds=seconds,
        )
        return self._done(shard, len(rows) - bad, bad, path, seconds, is_new=True)

    def _done(
        self, shard: Shard, rows: int, bad: int, path: Path, seconds: float, *, is_new: bool
    ) -> Done:
        key = shard.keys[self.stage.name]
        size = path.stat().st_size
        return Done(self.stage.name, shard.number, key, rows, bad, size, seconds, is_new)

    def _rows(self, shard: Shard) -> dict[int, Row]:
        """Returns number -> what the stage reads of a row, of the rows that are still good."""
        own = {name for name in self.stage.reads if name in self.graph.columns}
        rows = {n: {name: row[name] for name in own} for n, row in enumerate(shard.rows)}
        for name in self.graph.before(self.stage):
            step = next(s for s in self.graph.steps if s.name == name)
            wanted = {c: kind for c, kind in step.writes.items() if c in self.stage.reads}
            found = self.store.read_shard(name, shard.number, wanted)
            rows = {n: {**row, **found[n]} for n, row in rows.items() if n in found}
        return rows

    def _results(self, rows: Mapping[int, Row]) -> list[Row | Bad]:
        if self._function is None:
            self._function = _built(self.graph, self.stage, self.store)
        results = list(self._function(list(rows.values())))
        if len(results) != len(rows):
            raise SegtuneError(f"{self.stage.name} gave {len(results)} rows for {len(rows)}")
        return results


class ByRow:
    """A function of one row as one of several; a row whose image is bad is `Bad`.

    Args:
        function: from a row to its new columns.
    """

    def __init__(self, function: Callable[[Row], Row]) -> None:
        self.function = function

    def __call__(self, rows: Sequence[Row]) -> list[Row | Bad]:
        """Returns the new columns of each row, or what is bad about its image."""
        return [self._one(row) for row in rows]

    def _one(self, row: Row) -> Row | Bad:
        try:
            return self.function(row)
        except Exception as error:
            if not is_bad_image(error):
                raise
            return Bad(what_is_bad(error, str(row.get("id", "an image"))))


def _built(graph: Graph, stage: Stage, store: ShardStore) -> RowFunction:
    if stage.table is None:
        return stage.build()
    whole = next(step for step in graph.steps if step.name == stage.table)
    return stage.build(store.read(store.table_path(whole.name), whole.writes))
