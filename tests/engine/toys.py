"""A graph of small functions that count their calls; in a module, so that processes find it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from segtune.engine.graph import Bad, Graph, Row, Stage, Whole
from segtune.engine.work import ByRow
from segtune.errors import ImageError


def noted(folder: Path, what: str) -> None:
    """Writes down a call; one short line is appended whole, whoever else writes."""
    with (folder / "calls.log").open("a") as stream:
        stream.write(f"{what}\n")


class Letters:
    """Letters of a word; words with a digit are bad."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, row: Row) -> Row:
        noted(self.folder, f"letters {row['id']}")
        if any(letter.isdigit() for letter in row["word"]):
            raise ImageError(f"{row['id']} has a digit")
        return {"letters": sorted(set(row["word"]))}


class Count:
    """How many of a word's letters are in the table, plus a number; processes end where asked."""

    def __init__(self, folder: Path, plus: int, table: Sequence[Row]) -> None:
        self.folder, self.plus = folder, plus
        self.known = {row["letter"] for row in table}

    def __call__(self, rows: Sequence[Row]) -> list[Row | Bad]:
        for row in rows:
            noted(self.folder, f"count {row['id']}")
        return [{"count": sum(x in self.known for x in r["letters"]) + self.plus} for r in rows]


class Table:
    """All letters."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, rows: Sequence[Row], known: Sequence[Row]) -> list[Row]:
        old = {row["letter"] for row in known}
        letters = sorted({letter for row in rows for letter in row["letters"]})
        for letter in letters:
            if letter not in old:
                noted(self.folder, f"table {letter}")
        return [{"letter": letter} for letter in letters]


def letters_of(folder: Path) -> ByRow:
    return ByRow(Letters(folder))


def toy(folder: Path, plus: int = 0) -> Graph:
    """word ─ letters ─┤ table ├─ count."""
    return Graph(
        "toy",
        {"id": "text", "word": "text"},
        (
            Stage("letters", ("id", "word"), {"letters": "json"}, partial(letters_of, folder)),
            Whole("table", ("letters",), {"letter": "text"}, partial(Table, folder)),
            Stage(
                "count",
                ("id", "letters"),
                {"count": "int"},
                partial(Count, folder, plus),
                {"plus": plus},
                table="table",
            ),
        ),
    )


def words(*given: str) -> list[Row]:
    return [{"id": f"w{i}", "word": word} for i, word in enumerate(given)]
