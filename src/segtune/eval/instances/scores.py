"""Average precision and recall as tables read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from segtune.errors import SegtuneError


@dataclass(frozen=True)
class InstanceScores:
    """Precision and recall of K classes, fractions 0..1; NaN where there is nothing to find.

    T overlap thresholds, R recalls (0, 0.01, ..., 1), A area ranges, L limits.

    Attributes:
        precision: (T, R, K, A, L), the best precision at that recall or above; None where a
            protocol has no precision.
        recall: (T, K, A, L), with all predictions within the limit.
        areas: names of the ranges; the first one is that of the headline numbers.
        limits: predictions per image; the last one is that of AP.
        groups: name -> class ids, over which means are taken.
    """

    class_names: tuple[str, ...]
    precision: np.ndarray | None
    recall: np.ndarray
    iou_thresholds: tuple[float, ...]
    areas: tuple[str, ...]
    limits: tuple[int, ...]
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def average_precision(
        self,
        *,
        iou: float | None = None,
        area: str | None = None,
        limit: int | None = None,
        class_ids: Sequence[int] | None = None,
    ) -> float:
        """Returns AP, the mean precision over recalls, classes and overlap thresholds.

        Args:
            iou: one threshold; None is the mean over all.
            area: name of a range; the first one by default.
            limit: one of `limits`; the last one by default.
            class_ids: mean over these classes; None is all of them.
        """
        if self.precision is None:
            return float("nan")
        return _mean(self._precisions(iou, area, limit), class_ids)

    def average_recall(
        self,
        *,
        iou: float | None = None,
        area: str | None = None,
        limit: int | None = None,
        class_ids: Sequence[int] | None = None,
    ) -> float:
        """Returns AR, the mean recall over classes and overlap thresholds, like AP."""
        return _mean(self._recalls(iou, area, limit), class_ids)

    def summary(self) -> dict[str, float]:
        """Returns the headline numbers by their usual short names, the most important first.

        "APs" is AP over the area range "small", "AR@10" recall with 10 predictions per image.
        """
        row: dict[str, float] = {}
        if self.precision is not None:
            row["AP"] = self.average_precision()
            row |= {f"AP{round(100 * iou)}": self.average_precision(iou=iou) for iou in self._known}
            for area in self.areas[1:]:
                row[f"AP{area[0]}"] = self.average_precision(area=area)
        # Where recall is all there is, the largest limit is the headline.
        limits = self.limits if self.precision is not None else self.limits[::-1]
        row |= {f"AR@{limit}": self.average_recall(limit=limit) for limit in limits}
        for area in self.areas[1:]:
            row[f"AR{area[0]}@{self.limits[-1]}"] = self.average_recall(area=area)
        for name, ids in self.groups.items():
            if self.precision is not None:
                row[f"AP({name})"] = self.average_precision(class_ids=ids)
                limits = self.limits[-1:]
            for limit in limits:
                row[f"AR@{limit}({name})"] = self.average_recall(limit=limit, class_ids=ids)
        return row

    def per_class(self) -> dict[str, np.ndarray]:
        """Returns the columns of the per-class table, (K,) each, the most important first."""
        columns = {}
        if self.precision is not None:
            columns["AP"] = _means(self._precisions())
            for iou in self._known:
                columns[f"AP{round(100 * iou)}"] = _means(self._precisions(iou))
        columns[f"AR@{self.limits[-1]}"] = _means(self._recalls())
        return columns

    def _precisions(
        self, iou: float | None = None, area: str | None = None, limit: int | None = None
    ) -> np.ndarray:
        """Returns (T, R, K) at the thresholds asked for."""
        assert self.precision is not None
        a, m = self._place(area, limit)
        return self.precision[..., a, m][self._thresholds(iou)]

    def _recalls(
        self, iou: float | None = None, area: str | None = None, limit: int | None = None
    ) -> np.ndarray:
        """Returns (T, K) at the thresholds asked for."""
        a, m = self._place(area, limit)
        return self.recall[..., a, m][self._thresholds(iou)]

    @property
    def _known(self) -> list[float]:
        """Those of the thresholds 0.5 and 0.75 that were used."""
        return [iou for iou in (0.5, 0.75) if np.isclose(iou, self.iou_thresholds).any()]

    def _thresholds(self, iou: float | None) -> np.ndarray:
        if iou is None:
            return np.arange(len(self.iou_thresholds))
        found = np.flatnonzero(np.isclose(iou, self.iou_thresholds))
        if not len(found):
            raise SegtuneError(f"overlap {iou} is none of {self.iou_thresholds}")
        return found

    def _place(self, area: str | None, limit: int | None) -> tuple[int, int]:
        area = self.areas[0] if area is None else area
        limit = self.limits[-1] if limit is None else limit
        if area not in self.areas or limit not in self.limits:
            raise SegtuneError(
                f"area {area!r} and limit {limit} were not evaluated; there are areas "
                f"{', '.join(self.areas)} and limits {', '.join(map(str, self.limits))}"
            )
        return self.areas.index(area), self.limits.index(limit)


def _mean(values: np.ndarray, class_ids: Sequence[int] | None = None) -> float:
    """Returns the mean over all that is not NaN, of some classes; NaN where there is nothing.

    Args:
        values: classes are the last axis.
    """
    if class_ids is not None:
        values = values.take(list(class_ids), axis=-1)
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _means(values: np.ndarray) -> np.ndarray:
    """Returns (K,), `_mean` of every class alone."""
    by_class = np.ascontiguousarray(np.moveaxis(values, -1, 0))
    return np.array([_mean(of_class) for of_class in by_class])
