"""Semantic segmentation scores from one streaming confusion matrix.

The generalised protocol of zero-shot segmentation: every class of the vocabulary competes for every
pixel, scores are read from one matrix over the whole split, and groups such as "seen" and "unseen"
are means over rows of the same table. All scores are fractions 0..1; tables print percent.

Rules that differ between programs, and what is done here:
- a pixel whose truth is `IGNORE` is left out; a predicted `IGNORE` is an error of the true class;
- a class that occurs in neither truth nor prediction is NaN and leaves every mean;
- a class that is only predicted has IoU 0 and counts; its accuracy is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from segtune.errors import DataError, SegtuneError
from segtune.storage.arrays import read_npz
from segtune.storage.files import atomic_write
from segtune.types import IGNORE, Vocabulary

LabelMap = np.ndarray | torch.Tensor


class ConfusionMatrix:
    """Pixel counts of truth against prediction, filled image by image.

    Attributes:
        counts: (K, K + 1) int64; row = truth, column = prediction, last column = no answer.

    Example:
        >>> matrix = ConfusionMatrix(2)
        >>> matrix.update(np.array([[0, 1, 1]]), np.array([[0, 0, IGNORE]]))
        >>> matrix.counts.tolist()
        [[1, 1, 0], [0, 0, 0]]
    """

    def __init__(self, num_classes: int) -> None:
        if num_classes < 1:
            raise SegtuneError(f"a confusion matrix needs at least 1 class, not {num_classes}")
        self.counts = np.zeros((num_classes, num_classes + 1), dtype=np.int64)

    @property
    def num_classes(self) -> int:
        """K, the number of classes."""
        return len(self.counts)

    def update(self, pred: LabelMap, target: LabelMap) -> None:
        """Adds the pixels of one or more images.

        Args:
            pred: integers of any shape, class ids or `IGNORE` where no class won.
            target: same shape, class ids or `IGNORE` where unlabelled.
        """
        pred_ids, target_ids = self._checked(pred, "prediction"), self._checked(target, "truth")
        if pred_ids.shape != target_ids.shape:
            raise SegtuneError(
                f"prediction is {tuple(pred_ids.shape)} but truth is {tuple(target_ids.shape)}; "
                "resize the prediction to the size of the label map"
            )
        # One row and one column in front take IGNORE, so the fused index (t + 1) * n + (p + 1)
        # needs no mask: two passes over the pixels and one temporary.
        n = self.num_classes + 1
        cells = torch.add(pred_ids.reshape(-1), target_ids.reshape(-1), alpha=n).add_(n + 1)
        table = torch.bincount(cells, minlength=n * n).view(n, n).cpu().numpy()[1:]
        self.counts[:, :-1] += table[:, 1:]
        self.counts[:, -1] += table[:, 0]

    def merge(self, other: ConfusionMatrix) -> None:
        """Adds the counts of another matrix, for example of another process."""
        if other.num_classes != self.num_classes:
            raise SegtuneError(
                f"cannot add a matrix of {other.num_classes} classes to one of {self.num_classes}"
            )
        self.counts += other.counts

    def save(self, path: Path | str) -> None:
        """Writes the counts to a compressed .npz file."""
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, counts=self.counts)

    @classmethod
    def load(cls, path: Path | str) -> ConfusionMatrix:
        """Returns the matrix that `save` wrote."""
        try:
            counts = read_npz(path)["counts"]
        except (DataError, KeyError) as error:
            raise DataError(f"{path} is not a confusion matrix written by segtune") from error
        matrix = cls(len(counts))
        if counts.shape != matrix.counts.shape:
            raise DataError(f"{path} holds a {counts.shape} array; expected (K, K + 1)")
        matrix.counts += counts
        return matrix

    def scores(
        self, vocabulary: Vocabulary, *, groups: Mapping[str, Sequence[int]] | None = None
    ) -> SemanticScores:
        """Returns every score of the pixels seen so far.

        Args:
            vocabulary: K concepts; each tag in `Concept.group` becomes a group of scores.
            groups: further groups, name -> class ids; replaces a tag of the same name.
        """
        if len(vocabulary) != self.num_classes:
            raise SegtuneError(
                f"the vocabulary {vocabulary.name!r} has {len(vocabulary)} classes but the "
                f"confusion matrix has {self.num_classes}; score with the vocabulary that was used"
            )
        tags = dict.fromkeys(concept.group for concept in vocabulary if concept.group)
        members = {tag: vocabulary.ids_in(tag) for tag in tags} | dict(groups or {})
        hits = self.counts.diagonal().astype(np.float64)
        truth = self.counts.sum(1)
        predicted = self.counts[:, :-1].sum(0)
        iou = _ratio(hits, truth + predicted - hits)
        accuracy = _ratio(hits, truth)
        return SemanticScores(
            class_names=vocabulary.names,
            iou=iou,
            accuracy=accuracy,
            truth_pixels=truth,
            predicted_pixels=predicted,
            pixel_accuracy=float(_ratio(hits.sum(), truth.sum())),
            mean_accuracy=_mean(accuracy),
            frequency_weighted_iou=float(_ratio(truth @ np.nan_to_num(iou), truth.sum())),
            mean_iou=_mean(iou),
            groups={
                name: GroupScores(
                    class_ids=tuple(ids),
                    pixel_accuracy=float(_ratio(hits[list(ids)].sum(), truth[list(ids)].sum())),
                    mean_accuracy=_mean(accuracy[list(ids)]),
                    mean_iou=_mean(iou[list(ids)]),
                )
                for name, ids in members.items()
            },
        )

    def _checked(self, labels: LabelMap, what: str) -> torch.Tensor:
        """Returns `labels` as int32 or int64, wide enough for the fused index, range checked."""
        ids = _as_tensor(labels, what)
        wide = (self.num_classes + 1) ** 2 > torch.iinfo(torch.int32).max
        if ids.dtype != torch.int64:
            ids = ids.to(torch.int64 if wide else torch.int32)
        if ids.numel():
            low, high = (int(value) for value in torch.aminmax(ids))
            if low < IGNORE or high >= self.num_classes:
                raise SegtuneError(
                    f"the {what} holds class ids {low}..{high} but there are {self.num_classes} "
                    f"classes; expected 0..{self.num_classes - 1}, and {IGNORE} for ignored pixels"
                )
        return ids


@dataclass(frozen=True)
class GroupScores:
    """Scores of some classes of the vocabulary, from the matrix over all of them."""

    class_ids: tuple[int, ...]
    pixel_accuracy: float
    mean_accuracy: float
    mean_iou: float


@dataclass(frozen=True)
class SemanticScores:
    """What a confusion matrix says; fractions 0..1, NaN where nothing can be said.

    Attributes:
        iou: (K,) TP / (TP + FP + FN); NaN where the class occurs nowhere.
        accuracy: (K,) TP / (TP + FN); NaN where the truth has no pixel of the class.
        truth_pixels, predicted_pixels: (K,) int64, over labelled pixels.
        groups: scores per tag, such as "seen" and "unseen".
    """

    class_names: tuple[str, ...]
    iou: np.ndarray
    accuracy: np.ndarray
    truth_pixels: np.ndarray
    predicted_pixels: np.ndarray
    pixel_accuracy: float
    mean_accuracy: float
    frequency_weighted_iou: float
    mean_iou: float
    groups: Mapping[str, GroupScores] = field(default_factory=dict)

    @property
    def seen_iou(self) -> float:
        """Mean IoU over the group "seen", NaN without one."""
        return self.groups["seen"].mean_iou if "seen" in self.groups else float("nan")

    @property
    def unseen_iou(self) -> float:
        """Mean IoU over the group "unseen", NaN without one."""
        return self.groups["unseen"].mean_iou if "unseen" in self.groups else float("nan")

    @property
    def harmonic_iou(self) -> float:
        """2 S U / (S + U) of the seen and unseen mean IoU; 0 where both are 0."""
        seen, unseen = self.seen_iou, self.unseen_iou
        return 0.0 if seen + unseen == 0 else 2 * seen * unseen / (seen + unseen)

    def summary(self) -> dict[str, float]:
        """Returns the headline numbers by their usual short names, the most important first."""
        row = {"mIoU": self.mean_iou}
        if {"seen", "unseen"} <= self.groups.keys():
            row |= {"hIoU": self.harmonic_iou, "mIoU(S)": self.seen_iou, "mIoU(U)": self.unseen_iou}
        for name, group in self.groups.items():
            if name not in ("seen", "unseen"):
                row[f"mIoU({name})"] = group.mean_iou
        row["pAcc"] = self.pixel_accuracy
        row["mAcc"] = self.mean_accuracy
        row["fwIoU"] = self.frequency_weighted_iou
        return row

    def per_class(self) -> dict[str, np.ndarray]:
        """Returns the columns of the per-class table, (K,) each, the most important first."""
        return {"IoU": self.iou, "Acc": self.accuracy}


def _as_tensor(labels: LabelMap, what: str) -> torch.Tensor:
    """Returns `labels` as an integer tensor, sharing memory where torch knows the type."""
    if isinstance(labels, np.ndarray):
        if labels.dtype.kind not in "iu":
            raise SegtuneError(f"the {what} is an array of {labels.dtype}; expected integers")
        if labels.dtype.kind == "u" or not labels.flags.writeable or not labels.dtype.isnative:
            labels = labels.astype(np.int32 if labels.dtype.itemsize < 4 else np.int64)
        return torch.from_numpy(np.ascontiguousarray(labels))
    if labels.is_floating_point() or labels.is_complex():
        raise SegtuneError(f"the {what} is a tensor of {labels.dtype}; expected integers")
    return labels


def _ratio(part: np.ndarray | float, whole: np.ndarray | float) -> np.ndarray:
    """Returns part / whole in float64, NaN where whole is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(part, whole, dtype=np.float64)


def _mean(values: np.ndarray) -> float:
    """Returns the mean over the values that are not NaN; NaN where there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
