"""What mining made of one image."""

from __future__ import annotations

from dataclasses import dataclass

from segtune.data.pairs import Pair
from segtune.engine.judge import Verdict


@dataclass(frozen=True)
class Entry:
    """One finished image.

    Attributes:
        index: of the sample in the dataset.
        regions: how many masks it has.
        nouns: how many nouns its captions have.
        pairs: in the order of the nouns.
        verdicts: one per pair where the image has labels, else None.
        problem: why nothing was looked at; None where it was.
    """

    index: int
    regions: int
    nouns: int
    pairs: tuple[Pair, ...]
    verdicts: tuple[Verdict | None, ...] | None
    problem: str | None = None
