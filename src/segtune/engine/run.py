"""Doing the work of a graph: what is on disk already is not done again.

A run may be killed at any moment, and any of its processes; the same call goes on with the shards
that are not there yet and gives the same files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from segtune.engine.graph import Graph, Row, Stage, Whole, digest, shard_keys
from segtune.engine.runners.base import Runner, Step
from segtune.engine.runners.local import LocalRunner
from segtune.engine.store import ShardStore
from segtune.engine.work import Done, Shard, StageWorker
from segtune.errors import SegtuneError
from segtune.storage.files import atomic_write
from segtune.storage.jsonl import append_line

MAX_BAD = 0.01
MANIFEST, MARK = "manifest.jsonl", "graph.json"


@dataclass
class Ran:
    """A finished run.

    Attributes:
        store: where everything is.
        rows: that came in, per shard.
        made, there: shards of stages that were made now, and that were there already.
        seconds: stage -> of all shards that were made now.
        rows_there: rows of which an earlier run had done everything.
        bad: (shard, number) -> reason of each bad row.
    """

    store: ShardStore
    rows: list[int] = field(default_factory=list)
    made: int = 0
    there: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    rows_there: int = 0
    bad: dict[tuple[int, int], str] = field(default_factory=dict)

    def columns(self, graph: Graph, names: Sequence[str]) -> Iterator[Row]:
        """Yields, row by row in order, columns of the stages that write them.

        Rows that one of these stages could do nothing with are left out.
        """
        writers: dict[str, dict[str, Any]] = {}
        for step in graph.steps:
            if isinstance(step, Stage):
                wanted = {c: kind for c, kind in step.writes.items() if c in names}
                if wanted:
                    writers[step.name] = wanted
        for shard in range(len(self.rows)):
            parts = [self.store.read_shard(name, shard, cols) for name, cols in writers.items()]
            for number in sorted(set.intersection(*(set(part) for part in parts))):
                row: Row = {"shard": shard, "number": number}
                for part in parts:
                    row |= part[number]
                yield row

    def in_order(self, good: Iterable[Row]) -> Iterator[tuple[int, Row | None, str]]:
        """Yields (place among all rows, columns or None, why there are none) of every row.

        Args:
            good: of `columns`.
        """
        found = iter(good)
        following = next(found, None)
        place = 0
        for shard, count in enumerate(self.rows):
            for number in range(count):
                row = None
                is_next = following is not None and following["number"] == number
                if following is not None and is_next and following["shard"] == shard:
                    row, following = following, next(found, None)
                yield place, row, "" if row is not None else self.bad.get((shard, number), "")
                place += 1


def run_graph(
    graph: Graph,
    shards: Sequence[Sequence[Row]],
    folder: Path,
    *,
    runner: Runner | None = None,
    max_bad: float = MAX_BAD,
    progress: bool = True,
) -> Ran:
    """Does all steps of a graph and returns where their columns are.

    Args:
        graph: of the work.
        shards: rows with the columns of the graph, divided.
        folder: of the store; may be that of an earlier run, of which everything is used that
            depends on nothing that changed.
        runner: this process where None.
        max_bad: share of bad rows of a shard, beyond ten, above which it fails.
        progress: show a bar where the output is a terminal.

    Raises:
        SegtuneError: a shard failed; the others are done and stay.
    """
    runner = runner or LocalRunner()
    store = ShardStore(folder)
    ran = Ran(store, [len(rows) for rows in shards])
    keys, tables = shard_keys(graph, [digest(list(rows)) for rows in shards])
    items = [
        Shard(number, tuple(rows), {name: each[number] for name, each in keys.items()})
        for number, rows in enumerate(shards)
    ]
    with atomic_write(folder / MARK) as temporary:
        temporary.write_text(json.dumps({"graph": graph.name}), "utf-8")
    every = [step for step in graph.steps if isinstance(step, Stage)]
    ran.rows_there = sum(len(item.rows) for item in items if _is_done(store, every, item))
    for whole, stages in graph.phases():
        if whole is not None:
            _make_table(graph, whole, store, tables[whole.name], num_shards=len(items))
        if stages:
            _run_phase(graph, stages, items, store, runner, max_bad, ran, progress=progress)
    ran.bad = _bad_rows(every, store, num_shards=len(items))
    return ran


def is_work(folder: Path) -> bool:
    """Whether a folder is that of a run, finished, or killed before or after its first file."""
    if not folder.is_dir():
        return False
    return (folder / MARK).is_file() or all(p.name.startswith(".") for p in folder.iterdir())


def _run_phase(
    graph: Graph,
    stages: Sequence[Stage],
    items: Sequence[Shard],
    store: ShardStore,
    runner: Runner,
    max_bad: float,
    ran: Ran,
    *,
    progress: bool,
) -> None:
    """Does stages that need nothing but the rows of their shard; what is there is left out."""
    todo = [item for item in items if not _is_done(store, stages, item)]
    ran.there += (len(items) - len(todo)) * len(stages)
    steps = [
        Step(stage.name, partial(StageWorker, graph, stage, store.folder, max_bad), stage.resource)
        for stage in stages
    ]
    failed: list[Done] = []
    bar = tqdm(
        total=sum(len(item.rows) for item in items),
        initial=sum(len(item.rows) for item in items) - sum(len(item.rows) for item in todo),
        desc=", ".join(stage.name for stage in stages),
        unit="row",
        disable=None if progress else True,
    )
    with bar:
        for item, results in zip(todo, runner.map(todo, steps), strict=True):
            for done in results:
                _note(store, done, ran)
                failed += [done] if done is not None and done.failed is not None else []
            bar.update(len(item.rows))
            if len(stages) > 1 and ran.seconds:
                bar.set_postfix_str(_slowest(ran.seconds, stages))
    if failed:
        first = failed[0]
        raise SegtuneError(
            f"{len(failed)} of {len(items)} shards failed; {first.stage} of shard {first.shard}: "
            f"{first.failed}; correct the images, or allow more with --max-bad 0.2"
        )


def _is_done(store: ShardStore, stages: Sequence[Stage], item: Shard) -> bool:
    return all(
        store.has(store.shard_path(stage.name, item.number), item.keys[stage.name])
        for stage in stages
    )


def _note(store: ShardStore, done: Done | None, ran: Ran) -> None:
    """Counts what was done to a shard, and writes a line of what was made into the manifest."""
    if done is None:
        return
    if done.is_new:
        ran.made += 1
        ran.seconds[done.stage] = ran.seconds.get(done.stage, 0.0) + done.seconds
        append_line(store.folder / MANIFEST, {**asdict(done), "time": round(done.seconds, 3)})
    else:
        ran.there += 1


def _slowest(seconds: Mapping[str, float], stages: Sequence[Stage]) -> str:
    """Returns which stage takes most of the time.

    Example:
        >>> stages = [Stage(name, (), {}, list) for name in "ab"]
        >>> _slowest({"a": 1.0, "b": 3.0}, stages)
        'b takes 75 %'
    """
    own = {stage.name: seconds.get(stage.name, 0.0) for stage in stages}
    name = max(own, key=lambda each: own[each])
    return f"{name} takes {100 * own[name] / max(sum(own.values()), 1e-9):.0f} %"


def _make_table(
    graph: Graph, whole: Whole, store: ShardStore, key: str, *, num_shards: int
) -> None:
    """Makes the table of a step over all shards, of what an earlier one has where it can."""
    path = store.table_path(whole.name)
    if store.has(path, key):
        return
    rows: list[Row] = []
    for shard in range(num_shards):
        parts = []
        for name in graph.before(whole):
            step = next(s for s in graph.steps if s.name == name)
            wanted = {c: kind for c, kind in step.writes.items() if c in whole.reads}
            parts.append(store.read_shard(name, shard, wanted))
        for number in sorted(set.intersection(*(set(part) for part in parts))):
            rows.append({c: v for part in parts for c, v in part[number].items()})
    settings = digest(whole.name, whole.settings)
    about = store.folder / f"{whole.name}.settings.json"
    is_like_before = about.is_file() and about.read_text("utf-8") == json.dumps(settings)
    known = store.read(path, whole.writes) if is_like_before and path.is_file() else []
    table = whole.build()(rows, known)
    size = store.write_table(whole.name, table, columns=whole.writes, key=key)
    about.write_text(json.dumps(settings), "utf-8")
    line = {"stage": whole.name, "shard": None, "key": key, "rows": len(table), "bytes": size}
    append_line(store.folder / MANIFEST, line)


def _bad_rows(
    stages: Sequence[Stage], store: ShardStore, *, num_shards: int
) -> dict[tuple[int, int], str]:
    """Returns (shard, number) -> why the first stage could do nothing with a row."""
    found: dict[tuple[int, int], str] = {}
    for shard in range(num_shards):
        for stage in stages:
            for number, reason in store.read_bad(stage.name, shard).items():
                found.setdefault((shard, number), reason)
    return found
