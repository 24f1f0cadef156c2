"""Average precision and recall of scored regions, image by image.

Of each image only a short table is kept: scores, classes, areas, and the pairs of predictions and
objects that overlap enough to match. Every protocol (`segtune.eval.instances.protocols`) is read
from that one table at the end, for any limits and area ranges.

Numbers equal those of pycocotools exactly, with NaN in place of its -1. Two differences: the size
class of a predicted mask follows from the mask even where its entry also has a box, and an
annotation with the id 0 is like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from segtune.errors import SegtuneError
from segtune.eval.instances import protocols
from segtune.eval.instances.federated import federated, marks_of
from segtune.eval.instances.fields import are_crowds, areas_of, classes_of, scores_of
from segtune.eval.instances.matching import ranks_of
from segtune.eval.instances.overlaps import OverlapOf, Region, overlap_pairs, regions_of
from segtune.eval.instances.protocols import AreaRanges, Crowds, Others
from segtune.eval.instances.scores import InstanceScores
from segtune.eval.instances.tables import ImageTable, JoinedTable
from segtune.types import Vocabulary

COCO_IOUS = tuple(np.linspace(0.5, 0.95, 10).tolist())
COCO_AREAS: AreaRanges = {
    "all": (0, 1e10),
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, 1e10),
}
ONE_LIMIT, ONE_AREA = (100,), {"all": (0.0, 1e10)}
"""All that the score of a single image needs."""


class InstanceEvaluator:
    """Collects predictions and truth image by image and scores them.

    Example:
        >>> from segtune.types import Instance, Segment
        >>> mask = np.ones((4, 4), dtype=bool)
        >>> evaluator = InstanceEvaluator(Vocabulary.of("car", "tree"))
        >>> evaluator.update("a", [Segment(0, 0.9, (0, 0, 4, 3), mask[:3])], [Instance(0, mask)])
        >>> {name: round(value, 2) for name, value in evaluator.result().summary().items()}["AP"]
        0.6
    """

    def __init__(
        self,
        vocabulary: Vocabulary | int,
        *,
        overlap_of: OverlapOf = "masks",
        across_classes: bool = False,
        iou_thresholds: Sequence[float] = COCO_IOUS,
        category_ids: Sequence[int] | None = None,
    ) -> None:
        """Sets what is compared.

        Args:
            vocabulary: the K classes, or K; tags of its concepts become groups of the scores.
            overlap_of: compare masks or boxes.
            across_classes: also compare predictions and objects of different classes, which
                `class_agnostic` and `open_world` need.
            iou_thresholds: ascending, above 0, at most 1.
            category_ids: what COCO entries call the K classes; 0, 1, 2, ... by default.
        """
        concepts = range(vocabulary) if isinstance(vocabulary, int) else vocabulary
        self.class_names = tuple(str(getattr(concept, "name", concept)) for concept in concepts)
        if not self.class_names:
            raise SegtuneError("an instance evaluation needs at least 1 class, not 0")
        self.groups: dict[str, tuple[int, ...]] = {}
        if isinstance(vocabulary, Vocabulary):
            tags = dict.fromkeys(concept.group for concept in vocabulary if concept.group)
            self.groups = {tag: vocabulary.ids_in(tag) for tag in tags}
        self.iou_thresholds = np.array(iou_thresholds, dtype=np.float64)
        if not len(iou_thresholds) or not 0 < min(iou_thresholds) <= max(iou_thresholds) <= 1:
            raise SegtuneError(f"iou_thresholds={iou_thresholds}: expected numbers in (0, 1]")
        category_ids = range(self.num_classes) if category_ids is None else category_ids
        if len(category_ids) != self.num_classes:
            raise SegtuneError(
                f"{len(category_ids)} category_ids for {self.num_classes} classes; give one each"
            )
        self._class_of_category = {c: i for i, c in enumerate(category_ids)}
        self._overlap_of: OverlapOf = overlap_of
        self._across_classes = across_classes
        self._images: dict[int | str, ImageTable] = {}

    @property
    def num_classes(self) -> int:
        """K, the number of classes."""
        return len(self.class_names)

    def update(
        self,
        image_id: int | str,
        predictions: Sequence[Region],
        truth: Sequence[Region],
        *,
        absent: Collection[int] | None = None,
        not_exhaustive: Collection[int] = (),
    ) -> None:
        """Adds one image; both lists may be empty.

        Args:
            image_id: of equal scores in two images, the smaller id comes first.
            predictions: segments, or COCO results with `segmentation` (RLE) or `bbox`, `score`
                and `category_id`; all of one form. A class that is not in the vocabulary is an
                error, unless `across_classes` is set: then such a prediction has no class.
            truth: instances, or COCO annotations; their `area` decides their size class. Objects
                with the class `IGNORE` count only where classes play no role.
            absent: for `federated`, class ids that are known not to be in the image, where only
                these and those of the truth were looked for.
            not_exhaustive: for `federated`, class ids of which some objects may lack.

        Raises:
            SegtuneError: the image was given before, a class is unknown, a score is no number, or
                masks do not fit each other.
        """
        if image_id in self._images:
            raise SegtuneError(f"image {image_id!r} was already given; every image counts once")
        try:
            self._images[image_id] = self._table(predictions, truth, absent, not_exhaustive)
        except SegtuneError as error:
            raise SegtuneError(f"image {image_id!r}: {error}") from error

    def merge(self, other: InstanceEvaluator) -> None:
        """Adds the images of another evaluator of the same settings, for example of a process."""
        if both := sorted(self._images.keys() & other._images.keys(), key=str):
            raise SegtuneError(f"image {both[0]!r} is in both evaluators; every image counts once")
        mine, theirs = (
            (e.class_names, e._overlap_of, e._across_classes, e.iou_thresholds.tolist())
            for e in (self, other)
        )
        if mine != theirs:
            raise SegtuneError("only evaluators with the same settings can be merged")
        self._images.update(other._images)

    def result(
        self, *, limits: Sequence[int] = (1, 10, 100), areas: AreaRanges = COCO_AREAS
    ) -> InstanceScores:
        """Returns COCO's scores per class.

        Args:
            limits: predictions per image and class; the last one is that of AP.
            areas: name -> (lowest, highest) area; the first one is that of the headline numbers.
        """
        precision, recall = protocols.coco(
            JoinedTable.of(self._images),
            self.iou_thresholds,
            num_classes=self.num_classes,
            limits=limits,
            areas=areas,
        )
        return self._scores(self.class_names, precision, recall, limits, areas, self.groups)

    def class_agnostic(
        self,
        *,
        limits: Sequence[int] = (1, 10, 100),
        areas: AreaRanges = COCO_AREAS,
        only: Collection[int] | None = None,
        others: Others = "drop",
        crowds: Crowds = "ignore",
    ) -> InstanceScores:
        """Returns the scores of regions as such, as if there were one class.

        Args:
            limits: predictions per image.
            areas: as in `result`.
            only: class ids of the objects that are to be found; None means all objects.
            others: what happens to all other objects: they are dropped, so that predictions on
                them are errors; or they stay, and predictions that match one of them at the lowest
                threshold leave the list before the limit applies.
            crowds: "ignore" is COCO's rule; "drop", as if they were not annotated, is LVIS's.
        """
        self._need_across_classes("class_agnostic")
        precision, recall = protocols.class_agnostic(
            JoinedTable.of(self._images),
            self.iou_thresholds,
            limits=limits,
            areas=areas,
            only=only,
            others=others,
            crowds=crowds,
        )
        return self._scores(("object",), precision, recall, limits, areas, {})

    def open_world(
        self,
        *,
        limits: Sequence[int] = (100,),
        areas: AreaRanges = COCO_AREAS,
        groups: Mapping[str, Sequence[int]] | None = None,
    ) -> InstanceScores:
        """Returns the recall of LVIS-OW: per class, among the best predictions of any class.

        Crowds are dropped. There is no precision: most predictions are right about another class.

        Args:
            limits: predictions per image, whatever their class.
            areas: as in `result`.
            groups: further groups of class ids, besides the tags of the vocabulary.
        """
        self._need_across_classes("open_world")
        recall = protocols.open_world(
            JoinedTable.blocks(self._images),
            self.iou_thresholds,
            num_classes=self.num_classes,
            limits=limits,
            areas=areas,
        )
        groups = self.groups | {name: tuple(ids) for name, ids in (groups or {}).items()}
        return self._scores(self.class_names, None, recall, limits, areas, groups)

    def federated(
        self, *, limits: Sequence[int] = (300,), areas: AreaRanges = COCO_AREAS
    ) -> InstanceScores:
        """Returns LVIS's scores per class, from what `update` was told of absent classes.

        Crowds are dropped.

        Args:
            limits: predictions per image, whatever their class; the last one is that of AP.
            areas: as in `result`.
        """
        precision, recall = federated(
            JoinedTable.of(self._images),
            self.iou_thresholds,
            num_classes=self.num_classes,
            limits=limits,
            areas=areas,
        )
        return self._scores(self.class_names, precision, recall, limits, areas, self.groups)

    def _table(
        self,
        predictions: Sequence[Region],
        truth: Sequence[Region],
        absent: Collection[int] | None,
        not_exhaustive: Collection[int],
    ) -> ImageTable:
        """Returns what is kept of an image."""
        scores = scores_of(predictions)
        pred_classes = self._classes(predictions, may_be_unknown=self._across_classes)
        best_first = np.lexsort((pred_classes, -scores))
        places = ranks_of(scores)[best_first]
        pred_classes, scores = pred_classes[best_first], scores[best_first]
        object_classes = self._classes(truth, may_be_unknown=False)
        by_class = np.argsort(object_classes, kind="stable")
        object_classes = object_classes[by_class]
        preds = regions_of([predictions[i] for i in best_first], overlap_of=self._overlap_of)
        truth = [truth[i] for i in by_class]
        objects = regions_of(truth, overlap_of=self._overlap_of)
        is_crowd = are_crowds(truth)
        allowed = None if self._across_classes else pred_classes[:, None] == object_classes
        pairs = overlap_pairs(
            preds,
            objects,
            is_crowd=is_crowd,
            at_least=min(self.iou_thresholds.min(), 1 - 1e-10),
            allowed=allowed,
        )
        return ImageTable(
            scores,
            pred_classes,
            preds.pixels,
            places,
            marks_of(pred_classes, object_classes, absent=absent, not_exhaustive=not_exhaustive),
            object_classes,
            areas_of(truth, objects.pixels),
            is_crowd,
            pairs,
        )

    def _classes(self, items: Sequence[Region], *, may_be_unknown: bool) -> np.ndarray:
        return classes_of(
            items,
            self._class_of_category,
            num_classes=self.num_classes,
            may_be_unknown=may_be_unknown,
        )

    def _scores(
        self,
        class_names: tuple[str, ...],
        precision: np.ndarray | None,
        recall: np.ndarray,
        limits: Sequence[int],
        areas: AreaRanges,
        groups: Mapping[str, tuple[int, ...]],
    ) -> InstanceScores:
        return InstanceScores(
            class_names=class_names,
            precision=precision,
            recall=recall,
            iou_thresholds=tuple(self.iou_thresholds.tolist()),
            areas=tuple(areas),
            limits=tuple(limits),
            groups=groups,
        )

    def _need_across_classes(self, what: str) -> None:
        if not self._across_classes:
            raise SegtuneError(
                f"{what} compares regions of different classes; make the evaluator with "
                "across_classes=True"
            )
