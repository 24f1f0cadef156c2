"""Work on many images as a graph of stages, each a plain function from rows to rows.

A stage reads columns of stages before it and writes its own. Stages that hang together by rows run
on a shard at a time; a stage over all shards (`Whole`), such as the table of all phrases, waits for
them and divides the graph into phases:

    captions ─ nouns ─┤ phrases (whole) ├─ regions ─ match ─►

What a shard of a stage depends on has one name, its key: a hash of the stage's settings and of the
keys before it. Where a file has this key, it is not made again, so a changed setting reruns the
stages after it and no others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from segtune.errors import SegtuneError

Row = dict[str, Any]
"""Values of columns: text, numbers, bytes, or what JSON can hold."""
Kind = Literal["text", "int", "float", "bytes", "json"]
Resource = Literal["cpu", "model"]
"""What a stage needs: a core, or a model in memory, which stays there between shards."""


@dataclass(frozen=True)
class Bad:
    """A row that a stage can do nothing with, in place of its result."""

    reason: str


class RowFunction(Protocol):
    """What a stage does; rows that come in together go out together, in their order."""

    def __call__(self, rows: Sequence[Row]) -> Sequence[Row | Bad]:
        """Returns the new columns of each row, or why there are none."""
        ...


class TableFunction(Protocol):
    """What a stage over all shards does."""

    def __call__(self, rows: Sequence[Row], known: Sequence[Row]) -> Sequence[Row]:
        """Returns a table.

        Args:
            rows: of all shards, in order.
            known: the table of an earlier run, so that what it has need not be made again.
        """
        ...


@dataclass(frozen=True)
class Stage:
    """One step on every row.

    Attributes:
        name: of its folder.
        reads: columns of earlier stages.
        writes: its columns and what they hold.
        build: makes the function, once per process; picklable.
        settings: plain values, all that the columns depend on besides what is read.
        resource: what it needs.
        table: name of a `Whole` whose table its rows come with; `build` is given it.
    """

    name: str
    reads: tuple[str, ...]
    writes: Mapping[str, Kind]
    build: Callable[..., RowFunction]
    settings: Mapping[str, Any] = field(default_factory=dict)
    resource: Resource = "cpu"
    table: str | None = None


@dataclass(frozen=True)
class Whole:
    """One step on all rows together, which gives a table of its own.

    Attributes:
        name: of its file.
        reads: columns of stages before it.
        writes: columns of the table.
        build: makes the function.
        settings: plain values that the table depends on.
    """

    name: str
    reads: tuple[str, ...]
    writes: Mapping[str, Kind]
    build: Callable[[], TableFunction]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """Stages in the order in which they run.

    Attributes:
        name: of the work.
        columns: of the rows that come in.
        steps: stages and whole steps.

    Raises:
        SegtuneError: a step reads a column that nothing before it writes, or two have one name.
    """

    name: str
    columns: Mapping[str, Kind]
    steps: tuple[Stage | Whole, ...]

    def __post_init__(self) -> None:
        known, tables = dict(self.columns), set()
        for step in self.steps:
            if missing := [column for column in step.reads if column not in known]:
                raise SegtuneError(f"{self.name}: {step.name} reads {missing[0]}, which is nowhere")
            if isinstance(step, Whole):
                tables.add(step.name)
                continue
            if step.table is not None and step.table not in tables:
                raise SegtuneError(f"{self.name}: {step.name} needs {step.table} before it")
            if again := [column for column in step.writes if column in known]:
                raise SegtuneError(f"{self.name}: {step.name} writes {again[0]} a second time")
            known |= step.writes
        names = [step.name for step in self.steps]
        if len(set(names)) < len(names):
            raise SegtuneError(f"{self.name}: two steps have one name")

    def phases(self) -> list[tuple[Whole | None, tuple[Stage, ...]]]:
        """Returns (whole step before them, stages) in their order.

        Example:
            >>> stage = Stage("a", (), {"x": "int"}, list)
            >>> whole = Whole("t", ("x",), {}, list)
            >>> phases = Graph("g", {}, (stage, whole)).phases()
            >>> [(w and w.name, [s.name for s in stages]) for w, stages in phases]
            [(None, ['a']), ('t', [])]
        """
        found: list[tuple[Whole | None, list[Stage]]] = [(None, [])]
        for step in self.steps:
            if isinstance(step, Whole):
                found.append((step, []))
            else:
                found[-1][1].append(step)
        return [(whole, tuple(stages)) for whole, stages in found]

    def writer_of(self, column: str) -> str | None:
        """Returns the stage that writes a column; None for those that come in."""
        stages = (step for step in self.steps if isinstance(step, Stage))
        return next((stage.name for stage in stages if column in stage.writes), None)

    def before(self, step: Stage | Whole) -> tuple[str, ...]:
        """Returns the names of the stages whose columns a step reads, in the order of the graph."""
        writers = {self.writer_of(column) for column in step.reads}
        return tuple(other.name for other in self.steps if other.name in writers)


def digest(*parts: Any) -> str:
    """Returns 24 hex digits of plain values.

    Example:
        >>> digest("a", {"x": 1, "y": None}) == digest("a", {"y": None, "x": 1})
        True
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def shard_keys(graph: Graph, source: Sequence[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Returns stage -> the key of each of its shards, and whole step -> the key of its table.

    Args:
        graph: of the work.
        source: a hash of the rows of each shard.
    """
    keys: dict[str, list[str]] = {}
    tables: dict[str, str] = {}
    for step in graph.steps:
        own = (step.name, step.settings, sorted(step.writes.items()))
        befores = graph.before(step)
        inputs = [
            [source[shard], *(keys[name][shard] for name in befores)]
            for shard in range(len(source))
        ]
        if isinstance(step, Whole):
            tables[step.name] = digest(own, inputs)
        else:
            table = None if step.table is None else tables[step.table]
            keys[step.name] = [digest(own, table, before) for before in inputs]
    return keys, tables
