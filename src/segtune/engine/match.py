"""The region of highest similarity for every noun (OVSeg, Liang et al., CVPR 2023, section 3.2).

For each noun the arg-max over the regions of its image; several nouns may share a region, and
without filters every noun gives a pair. The published set has no thresholds that are known of;
the filters here are ours and off by default.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segtune.errors import SegtuneError


@dataclass(frozen=True)
class Filters:
    """What is left out of the pairs; None keeps all.

    Attributes:
        min_area: smallest share of the image that a region may cover, 0..1; smaller ones are no
            candidates, so that a noun takes the next best.
        min_margin: smallest distance in similarity between the best and the second best region.
        top: the best pairs of an image that stay.
        per_noun: pairs of one noun that stay in the whole file, the first ones.
    """

    min_area: float | None = None
    min_margin: float | None = None
    top: int | None = None
    per_noun: int | None = None

    def __post_init__(self) -> None:
        if self.min_area is not None and not 0 <= self.min_area <= 1:
            raise SegtuneError(f"min_area is {self.min_area}; expected a share of the image, 0..1")
        if min(self.top or 1, self.per_noun or 1) < 1 or 0 in (self.top, self.per_noun):
            raise SegtuneError("top and per_noun count pairs; expected whole numbers from 1 on")


@dataclass(frozen=True)
class Match:
    """One noun and the region it goes with.

    Attributes:
        noun, region: indices.
        score: cosine similarity, -1..1.
        margin: how much higher than that of the second best region; infinite where there is one
            region only.
    """

    noun: int
    region: int
    score: float
    margin: float


def match_nouns(
    noun_embeds: np.ndarray,
    region_embeds: np.ndarray,
    *,
    areas: np.ndarray | None = None,
    filters: Filters | None = None,
) -> list[Match]:
    """Returns the match of every noun that the filters leave, in the order of the nouns.

    Of regions that are equally similar the first one wins. `Filters.per_noun` is not applied here,
    because it counts over images.

    Args:
        noun_embeds: (N, k), unit length.
        region_embeds: (R, k), unit length; any float type.
        areas: (R,) share of the image that each region covers, for `min_area`.
        filters: none where None.

    Example:
        >>> regions = np.eye(3, dtype=np.float32)
        >>> [(m.noun, m.region) for m in match_nouns(regions[[2, 0, 2]], regions)]
        [(0, 2), (1, 0), (2, 2)]
    """
    filters = filters or Filters()
    candidates = np.arange(len(region_embeds))
    if filters.min_area is not None and areas is not None:
        candidates = candidates[areas >= filters.min_area]
    if not len(candidates) or not len(noun_embeds):
        return []
    likeness = noun_embeds.astype(np.float64) @ region_embeds[candidates].astype(np.float64).T
    best = likeness.argmax(1)
    matches = []
    for noun, column in enumerate(best.tolist()):
        score = float(likeness[noun, column])
        others = np.delete(likeness[noun], column)
        margin = score - float(others.max()) if len(others) else float("inf")
        if filters.min_margin is None or margin >= filters.min_margin:
            matches.append(Match(noun, int(candidates[column]), score, margin))
    if filters.top is not None:
        best_first = sorted(matches, key=lambda match: -match.score)[: filters.top]
        matches = sorted(best_first, key=lambda match: match.noun)
    return matches
