"""Panoptic quality from counts of matches, misses and errors; fractions 0..1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from segtune.types import Kind


@dataclass(frozen=True)
class Quality:
    """PQ, SQ and RQ, means over `num_classes` classes; NaN where there are none."""

    pq: float
    sq: float
    rq: float
    num_classes: int


@dataclass(frozen=True)
class PanopticScores:
    """Counts per class and what follows from them; fractions 0..1.

    Attributes:
        iou_sum, matches, errors, misses: as in `PanopticEvaluator`, (K,).
        groups: name -> class ids, over which means are taken.
    """

    class_names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    iou_sum: np.ndarray
    matches: np.ndarray
    errors: np.ndarray
    misses: np.ndarray
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def sq(self) -> np.ndarray:
        """(K,) mean overlap of the matches, 0 without one; NaN where the class occurs nowhere."""
        mean = self.iou_sum / np.maximum(self.matches, 1)
        return np.where(self._occurs, mean, np.nan)

    @property
    def rq(self) -> np.ndarray:
        """(K,) TP / (TP + FP / 2 + FN / 2); NaN where the class occurs nowhere."""
        return self._per_segment(self.matches)

    @property
    def pq(self) -> np.ndarray:
        """(K,) SQ times RQ; NaN where the class occurs nowhere."""
        return self._per_segment(self.iou_sum)

    def average(
        self, *, kind: Kind | None = None, class_ids: Sequence[int] | None = None
    ) -> Quality:
        """Returns the means over the classes that occur, of one kind or of some classes."""
        chosen = self._occurs.copy()
        if kind is not None:
            chosen &= np.array(self.kinds) == kind
        if class_ids is not None:
            chosen &= np.isin(np.arange(len(chosen)), list(class_ids))
        if not chosen.any():
            return Quality(float("nan"), float("nan"), float("nan"), 0)
        pq, sq, rq = (float(v[chosen].mean()) for v in (self.pq, self.sq, self.rq))
        return Quality(pq, sq, rq, int(chosen.sum()))

    def summary(self) -> dict[str, float]:
        """Returns the headline numbers by their usual short names, the most important first."""
        row: dict[str, float] = {}
        parts: tuple[tuple[str, Kind | None], ...] = (("", None), ("th", "thing"), ("st", "stuff"))
        for suffix, kind in parts:
            quality = self.average(kind=kind)
            row |= {f"PQ{suffix}": quality.pq, f"SQ{suffix}": quality.sq, f"RQ{suffix}": quality.rq}
        for name, ids in self.groups.items():
            row[f"PQ({name})"] = self.average(class_ids=ids).pq
        return row

    def per_class(self) -> dict[str, np.ndarray]:
        """Returns the columns of the per-class table, (K,) each, the most important first."""
        return {"PQ": self.pq, "SQ": self.sq, "RQ": self.rq}

    @property
    def _occurs(self) -> np.ndarray:
        return self.matches + self.errors + self.misses > 0

    def _per_segment(self, values: np.ndarray) -> np.ndarray:
        segments = self.matches + 0.5 * self.errors + 0.5 * self.misses
        return np.where(self._occurs, values / np.where(self._occurs, segments, 1), np.nan)
