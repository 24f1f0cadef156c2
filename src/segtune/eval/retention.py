"""What a fit costs on the vocabulary that the frozen model already knew.

A prompt that gains on its target and forgets the rest is a bad trade, so every few-shot report also
scores a base vocabulary before and after the fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segtune.errors import SegtuneError
from segtune.eval.semantic import SemanticScores


@dataclass(frozen=True)
class ClassChange:
    """IoU of one class before and after; NaN where the class does not occur."""

    name: str
    before: float
    after: float

    @property
    def change(self) -> float:
        """After minus before."""
        return self.after - self.before


@dataclass(frozen=True)
class Retention:
    """Scores of a base vocabulary before and after a fit, on the same images.

    Example:
        >>> from segtune.eval.semantic import ConfusionMatrix
        >>> from segtune.types import Vocabulary
        >>> before, after = ConfusionMatrix(2), ConfusionMatrix(2)
        >>> before.update(np.array([0, 1, 1]), np.array([0, 1, 1]))
        >>> after.update(np.array([0, 0, 1]), np.array([0, 1, 1]))
        >>> words = Vocabulary.of("cat", "dog")
        >>> Retention(before.scores(words), after.scores(words)).drop
        0.5
    """

    before: SemanticScores
    after: SemanticScores

    def __post_init__(self) -> None:
        if self.before.class_names != self.after.class_names:
            raise SegtuneError(
                "retention compares one vocabulary with itself, but the scores are over "
                f"{len(self.before.class_names)} and {len(self.after.class_names)} other classes; "
                "evaluate the base vocabulary before and after the fit"
            )
        if not np.array_equal(self.before.truth_pixels, self.after.truth_pixels):
            raise SegtuneError(
                "the scores before and after are over different images; evaluate the same split"
            )

    @property
    def drop(self) -> float:
        """Lost mIoU, 0..1; negative where the fit helped."""
        return self.before.mean_iou - self.after.mean_iou

    @property
    def seen_drop(self) -> float:
        """Lost mIoU over the group "seen"; NaN without one."""
        return self.before.seen_iou - self.after.seen_iou

    @property
    def unseen_drop(self) -> float:
        """Lost mIoU over the group "unseen"; NaN without one."""
        return self.before.unseen_iou - self.after.unseen_iou

    def classes(self) -> tuple[ClassChange, ...]:
        """Returns every class that occurs, the largest loss first."""
        rows = [
            ClassChange(name, float(before), float(after))
            for name, before, after in zip(
                self.before.class_names, self.before.iou, self.after.iou, strict=True
            )
            if not (np.isnan(before) and np.isnan(after))
        ]
        return tuple(sorted(rows, key=lambda row: np.nan_to_num(row.change)))
