"""What came out of mining, in numbers: how many pairs, of which nouns, how sure, how right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from segtune.engine.entries import Entry
from segtune.engine.judge import Precision, Verdict, precision

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
TOP_NOUNS = 20


@dataclass(frozen=True)
class MineStatistics:
    """Counts over all images.

    Attributes:
        images: that were looked at.
        images_with_pairs: that gave at least one pair.
        regions: masks with a pixel.
        nouns: of the captions, each once per image.
        pairs: nouns with a region, after the filters.
        shared: pairs whose region is in another pair of the same image too.
        unique_nouns: different nouns among the pairs.
        top_nouns: the most frequent ones with their counts.
        scores: quantile -> cosine similarity; empty without pairs.
        precision: agreement with the labels; None where the data has none.
    """

    images: int
    images_with_pairs: int
    regions: int
    nouns: int
    pairs: int
    shared: int
    unique_nouns: int
    top_nouns: tuple[tuple[str, int], ...]
    scores: dict[str, float]
    precision: Precision | None

    @property
    def pairs_per_image(self) -> float:
        """Mean over all images."""
        return self.pairs / self.images if self.images else 0.0

    def values(self) -> dict[str, Any]:
        """Returns the numbers as plain values for a JSON file."""
        return {**asdict(self), "pairs_per_image": self.pairs_per_image}


def statistics_of(entries: Iterable[Entry]) -> MineStatistics:
    """Returns the counts of the images of a run, which are read once."""
    nouns: Counter[str] = Counter()
    scores: list[float] = []
    verdicts: list[Verdict | None] = []
    images = with_pairs = regions = words = shared = 0
    for entry in entries:
        images += 1
        with_pairs += bool(entry.pairs)
        regions += entry.regions
        words += entry.nouns
        uses = Counter(pair.rle for pair in entry.pairs)
        shared += sum(count for count in uses.values() if count > 1)
        nouns.update(pair.noun for pair in entry.pairs)
        scores += [pair.score for pair in entry.pairs]
        verdicts += entry.verdicts or ()
    ranked = sorted(nouns.items(), key=lambda item: (-item[1], item[0]))
    values = np.quantile(scores, QUANTILES).round(4).tolist() if scores else []
    return MineStatistics(
        images=images,
        images_with_pairs=with_pairs,
        regions=regions,
        nouns=words,
        pairs=len(scores),
        shared=shared,
        unique_nouns=len(nouns),
        top_nouns=tuple(ranked[:TOP_NOUNS]),
        scores=dict(zip(map(str, QUANTILES), values, strict=False)),
        precision=precision(verdicts),
    )
