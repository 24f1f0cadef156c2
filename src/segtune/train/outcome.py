"""What a training by a recipe has to say when it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Outcome:
    """What is printed after a training.

    Attributes:
        wrote: one line about where the results are.
        title: of the scores.
        scores: row -> name of a score -> share in 0..1; empty where nothing was scored.
    """

    wrote: str
    title: str = ""
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
