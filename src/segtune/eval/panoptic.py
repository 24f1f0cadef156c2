"""Panoptic quality (Kirillov et al., Panoptic Segmentation, CVPR 2019), filled image by image.

The rules are those of panopticapi, the reference implementation:
- a predicted and a true segment of one class match where their overlap is above 0.5, without the
  predicted pixels that are void in the truth; there is at most one such partner;
- a crowd is never missed and never matched; a prediction without a partner is no error where more
  than half of it lies on void pixels or on a crowd of its class (the last one, if there are more);
- means are over the classes that occur in truth or prediction; there, SQ without a match is 0.

All numbers are fractions 0..1. An image costs one pass over its pixels: the joint histogram of
true and predicted ids is counted over runs of equal pixels, of which there are few.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from segtune.errors import DataError, SegtuneError
from segtune.eval.panoptic_scores import PanopticScores
from segtune.types import IGNORE, Sample, Segmentation, Vocabulary

VOID = 0
"""Segment id of pixels that belong to no segment."""


class PanopticEvaluator:
    """Sums matches, misses and errors per class.

    Attributes:
        iou_sum: (K,) float64, overlaps of the matches.
        matches, errors, misses: (K,) int64; TP, FP and FN.

    Example:
        >>> evaluator = PanopticEvaluator(Vocabulary.of("car", "tree"))
        >>> ids = np.array([[1, 1, 2, 0]])
        >>> evaluator.update(ids, {1: 0, 2: 1}, ids, {1: 0, 2: 0})
        >>> evaluator.result().summary()["PQ"]
        0.333...
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.iou_sum = np.zeros(len(vocabulary))
        self.matches, self.errors, self.misses = np.zeros((3, len(vocabulary)), dtype=np.int64)

    def update(
        self,
        pred_ids: np.ndarray,
        pred_classes: Mapping[int, int],
        truth_ids: np.ndarray,
        truth_classes: Mapping[int, int],
        *,
        crowd_ids: Collection[int] = (),
    ) -> None:
        """Adds one image.

        Args:
            pred_ids: (H, W) int, a segment id per pixel, `VOID` where there is none.
            pred_classes: segment id -> class id, of exactly the segments in the map.
            truth_ids, truth_classes: the same of the truth; a listed segment without pixels is
                missed.
            crowd_ids: the true segments that are crowds.

        Raises:
            SegtuneError: the maps differ in size, are not of integers, or do not fit their lists.
        """
        pairs = _joint_histogram(truth_ids, pred_ids)
        truth = _Listed.of(truth_classes, pairs.first, "truth", len(self.vocabulary))
        preds = _Listed.of(pred_classes, pairs.second, "prediction", len(self.vocabulary))
        if missing := set(pred_classes) - set(pairs.second.tolist()):
            raise SegtuneError(f"predicted segment {min(missing)} is listed but has no pixel")
        is_crowd = np.isin(truth.ids, list(crowd_ids))
        areas = np.bincount(truth.numbers, pairs.counts, len(truth.ids) + 1)[1:]
        pred_areas = np.bincount(preds.numbers, pairs.counts, len(preds.ids) + 1)[1:]
        is_void = truth.numbers == 0
        void = np.bincount(preds.numbers[is_void], pairs.counts[is_void], len(preds.ids) + 1)[1:]

        both = ~is_void & (preds.numbers > 0)
        g, p, shared = truth.numbers[both] - 1, preds.numbers[both] - 1, pairs.counts[both]
        ious = shared / (pred_areas[p] + areas[g] - shared - void[p])
        same_class = truth.class_ids[g] == preds.class_ids[p]
        matched = same_class & ~is_crowd[g] & (ious > 0.5)
        np.add.at(self.iou_sum, truth.class_ids[g[matched]], ious[matched])
        self.matches += self._count(truth.class_ids[g[matched]])

        missed = ~is_crowd
        missed[g[matched]] = False
        self.misses += self._count(truth.class_ids[missed])

        crowd_of_class = np.full(len(self.vocabulary), -1)
        crowds = np.flatnonzero(is_crowd)
        crowd_of_class[truth.class_ids[crowds]] = crowds  # the last one stays
        excused = void.copy()
        on_crowd = crowd_of_class[preds.class_ids[p]] == g
        np.add.at(excused, p[on_crowd], shared[on_crowd])
        wrong = excused / pred_areas <= 0.5
        wrong[p[matched]] = False
        self.errors += self._count(preds.class_ids[wrong])

    def update_from(self, answer: Segmentation, sample: Sample) -> None:
        """Adds the panoptic answer for a sample.

        The truth are the sample's instances; stuff that is only in its semantic map is one segment
        per class. All other pixels are void. Where predicted segments overlap, the earlier one
        keeps the pixels, as in the files that `segtune` writes.

        Raises:
            SegtuneError: the answer has another size or vocabulary, or no segments.
            DataError: the sample is not labelled, or its instances overlap.
        """
        if answer.vocabulary.names != self.vocabulary.names:
            raise SegtuneError(
                f"the answer for {sample.id!r} is over another vocabulary than the evaluation"
            )
        if not answer.segments and answer.semantic is not None and (answer.semantic >= 0).any():
            raise SegtuneError(
                f"the answer for {sample.id!r} has no segments; predict with task 'panoptic'"
            )
        truth_ids, truth_classes = _truth_of(sample, self.vocabulary)
        if truth_ids.shape != tuple(answer.size):
            (h, w), (height, width) = answer.size, truth_ids.shape
            raise SegtuneError(
                f"the answer for {sample.id!r} is {w}x{h} but its truth is {width}x{height}; "
                "answers must have the size of the image"
            )
        pred_ids = np.zeros(answer.size, dtype=np.int32)
        for number, segment in reversed(list(enumerate(answer.segments, start=1))):
            x1, y1, x2, y2 = segment.box_px
            pred_ids[y1:y2, x1:x2][segment.mask] = number
        visible = set(np.unique(pred_ids).tolist())
        segments = enumerate(answer.segments, start=1)
        self.update(
            pred_ids,
            {number: segment.class_id for number, segment in segments if number in visible},
            truth_ids,
            truth_classes,
            crowd_ids=[n for n, item in enumerate(sample.instances, start=1) if item.is_crowd],
        )

    def merge(self, other: PanopticEvaluator) -> None:
        """Adds the images of another evaluator, for example of another process."""
        if other.vocabulary.names != self.vocabulary.names:
            raise SegtuneError("only evaluators over the same vocabulary can be merged")
        self.iou_sum += other.iou_sum
        self.matches += other.matches
        self.errors += other.errors
        self.misses += other.misses

    def result(self, *, groups: Mapping[str, Sequence[int]] | None = None) -> PanopticScores:
        """Returns every score of the images seen so far.

        Args:
            groups: further groups, name -> class ids, besides the tags of the vocabulary.
        """
        tags = dict.fromkeys(concept.group for concept in self.vocabulary if concept.group)
        members = {tag: self.vocabulary.ids_in(tag) for tag in tags}
        return PanopticScores(
            class_names=self.vocabulary.names,
            kinds=tuple(concept.kind for concept in self.vocabulary),
            iou_sum=self.iou_sum.copy(),
            matches=self.matches.copy(),
            errors=self.errors.copy(),
            misses=self.misses.copy(),
            groups=members | {name: tuple(ids) for name, ids in (groups or {}).items()},
        )

    def _count(self, class_ids: np.ndarray) -> np.ndarray:
        return np.bincount(class_ids, minlength=len(self.vocabulary))


@dataclass(frozen=True)
class _Histogram:
    """How many pixels carry each pair of ids: (n,) int64 each, ordered by pair."""

    first: np.ndarray
    second: np.ndarray
    counts: np.ndarray


def _joint_histogram(first: np.ndarray, second: np.ndarray) -> _Histogram:
    """Returns the joint histogram of two maps of ids 0 .. 2^31 - 1."""
    for ids in (first, second):
        if ids.dtype.kind not in "iu":
            raise SegtuneError(f"a map of segment ids is of {ids.dtype}; expected integers")
    if first.shape != second.shape:
        raise SegtuneError(
            f"prediction is {second.shape} but truth is {first.shape}; bring the prediction to "
            "the size of the truth"
        )
    if not first.size:
        raise SegtuneError("a map of segment ids has no pixels")
    a, b = first.reshape(-1), second.reshape(-1)
    starts = np.flatnonzero((a[1:] != a[:-1]) | (b[1:] != b[:-1])) + 1
    starts = np.concatenate([[0], starts])
    lengths = np.diff(starts, append=len(a))
    # From here on it is about runs, not pixels.
    a, b = a[starts].astype(np.int64), b[starts].astype(np.int64)
    if min(a.min(), b.min()) < 0 or max(a.max(), b.max()) >= 1 << 31:
        raise SegtuneError("segment ids must be 0 .. 2^31 - 1, and 0 for void pixels")
    pairs, which = np.unique(a << 31 | b, return_inverse=True)
    counts = np.bincount(which, lengths).astype(np.int64)
    return _Histogram(pairs >> 31, pairs & ((1 << 31) - 1), counts)


@dataclass(frozen=True)
class _Listed:
    """The segments of one map in the order of their list.

    Attributes:
        ids, class_ids: (S,) int64.
        numbers: (n,) int64, for each entry of the histogram: place in the list from 1, 0 for void.
    """

    ids: np.ndarray
    class_ids: np.ndarray
    numbers: np.ndarray

    @classmethod
    def of(
        cls, classes: Mapping[int, int], used: np.ndarray, what: str, num_classes: int
    ) -> _Listed:
        number_of = {segment_id: number for number, segment_id in enumerate(classes, start=1)}
        if VOID in number_of:
            raise SegtuneError(f"the {what} lists a segment {VOID}, which stands for void pixels")
        if unlisted := set(used.tolist()) - number_of.keys() - {VOID}:
            raise SegtuneError(f"segment {min(unlisted)} of the {what} has no class")
        class_ids = np.fromiter(classes.values(), np.int64, len(classes))
        if len(class_ids) and not 0 <= class_ids.min() <= class_ids.max() < num_classes:
            raise SegtuneError(
                f"the {what} holds class ids {class_ids.min()}..{class_ids.max()} but there are "
                f"{num_classes} classes"
            )
        numbers = np.array([number_of.get(i, 0) for i in used.tolist()], dtype=np.int64)
        return cls(np.fromiter(classes, np.int64, len(classes)), class_ids, numbers)


def _truth_of(sample: Sample, vocabulary: Vocabulary) -> tuple[np.ndarray, dict[int, int]]:
    """Returns the (H, W) int32 segment ids of a labelled sample and their classes."""
    if not sample.instances and sample.semantic is None:
        raise DataError(f"sample {sample.id!r} is not labelled; evaluate a labelled split")
    shape = sample.instances[0].mask.shape if sample.semantic is None else sample.semantic.shape
    truth_ids = np.zeros(shape, dtype=np.int32)
    classes = {}
    for number, instance in enumerate(sample.instances, start=1):
        if (truth_ids[instance.mask] != VOID).any():
            raise DataError(
                f"sample {sample.id!r}: instances overlap, so its labels are not panoptic; "
                "evaluate it as instances"
            )
        if instance.class_id != IGNORE:
            truth_ids[instance.mask] = number
            classes[number] = instance.class_id
    if sample.semantic is not None:
        rest = np.where(truth_ids == VOID, sample.semantic, IGNORE)
        for instance in sample.instances:
            if instance.class_id == IGNORE:
                rest[instance.mask] = IGNORE
        for class_id in np.unique(rest[rest != IGNORE]).tolist():
            if vocabulary.concepts[class_id].kind == "stuff":
                number = len(sample.instances) + 1 + class_id
                truth_ids[rest == class_id] = number
                classes[number] = class_id
    return truth_ids, classes
