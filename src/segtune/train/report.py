"""What a training leaves behind for the person who started it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Report:
    """What was measured, and where the files are.

    Attributes:
        written: the last line, which names the files and how to use them.
        title: of the table.
        scores: row -> column -> share 0..1; a column is shown where the first row has it. Empty
            where nothing was measured.
    """

    written: str
    title: str = ""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
