"""The table of all phrases of a run: each is embedded once, however often it is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from segtune.engine.graph import Kind, Row, Whole

COLUMNS: Mapping[str, Kind] = {"phrase": "text", "embed": "bytes"}

Embedder = Callable[[str], np.ndarray | None]
"""(k,) float16 of unit length; None where a phrase is longer than the model reads."""


def phrase_table(
    reads: str,
    build: Callable[[], Embedder],
    *,
    of: Callable[[Any], Iterable[str]],
    settings: Mapping[str, Any],
) -> Whole:
    """Returns the step that embeds the phrases of a column, in alphabetical order.

    Args:
        reads: the column.
        build: makes what embeds one phrase.
        of: the phrases of a value of the column.
        settings: that the embeddings depend on.
    """
    return Whole("phrases", (reads,), COLUMNS, partial(_Table, reads, build, of), settings)


class _Table:
    """Embeds what earlier tables do not have."""

    def __init__(
        self, reads: str, build: Callable[[], Embedder], of: Callable[[Any], Iterable[str]]
    ) -> None:
        self.reads, self.build, self.of = reads, build, of

    def __call__(self, rows: Sequence[Row], known: Sequence[Row]) -> list[Row]:
        """Returns phrase and embedding, which is empty where the model cannot read it."""
        table = {row["phrase"]: row["embed"] for row in known}
        phrases = sorted({phrase for row in rows for phrase in self.of(row[self.reads])})
        if any(phrase not in table for phrase in phrases):
            embed = self.build()
            for phrase in phrases:
                if phrase not in table:
                    vector = embed(phrase)
                    table[phrase] = b"" if vector is None else vector.tobytes()
        return [{"phrase": phrase, "embed": table[phrase]} for phrase in phrases]


class PhraseEmbeds:
    """A table that was read.

    Args:
        rows: of `phrase_table`.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._known = {
            row["phrase"]: np.frombuffer(row["embed"], np.float16) for row in rows if row["embed"]
        }

    def __contains__(self, phrase: str) -> bool:
        return phrase in self._known

    def __call__(self, phrases: Sequence[str], width: int) -> np.ndarray:
        """Returns (N, k) float16, unit length, of phrases that are in the table."""
        rows = [self._known[phrase] for phrase in phrases]
        return np.stack(rows) if rows else np.zeros((0, width), np.float16)
