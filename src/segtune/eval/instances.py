"""Average precision and recall of scored regions, by COCO's protocol and its open-world relatives.

Images are given one at a time. Of each only a short table is kept: scores, classes, areas, and the
pairs of predictions and objects that overlap enough to match. Every protocol is read from that one
table at the end, for any limits and area ranges:

- `InstanceEvaluator.result`: COCO's, per class (mask or box overlap, crowds, areas);
- `class_agnostic`: the same without classes, over all objects or over those of a group, where the
  other objects are dropped, or take the predictions that match them out of the list (the
  cross-category protocol of Kim et al., Learning Open-World Object Proposals, RA-L 2022);
- `open_world`: LVIS-OW (SegPrompt, ICCV 2023): the objects of one class at a time against the best
  predictions of any class, averaged over the classes of a group.

Numbers equal those of pycocotools exactly, with NaN in place of its -1. Two differences: the size
class of a predicted mask follows from the mask even where its entry also has a box, and an
annotation with the id 0 is like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from segtune.errors import SegtuneError
from segtune.eval.instance_scores import InstanceScores
from segtune.eval.instance_tables import ImageTable, JoinedTable, curves, ranks_of_the_rest
from segtune.eval.matching_ap import REGULAR, TAKEN_OUT, Matches, Pairs, match, ranks_within
from segtune.eval.overlaps import OverlapOf, Region, are_entries, overlap_pairs, regions_of
from segtune.types import IGNORE, Vocabulary

AreaRanges = Mapping[str, tuple[float, float]]
"""Name -> lowest and highest area in pixels of the original image, both included."""

COCO_IOUS = tuple(np.linspace(0.5, 0.95, 10).tolist())
COCO_AREAS: AreaRanges = {
    "all": (0, 1e10),
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, 1e10),
}


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
        self, image_id: int | str, predictions: Sequence[Region], truth: Sequence[Region]
    ) -> None:
        """Adds one image; both lists may be empty.

        Args:
            image_id: of equal scores in two images, the smaller id comes first.
            predictions: segments, or COCO results with `segmentation` (RLE) or `bbox`, `score`
                and `category_id`; all of one form. A class that is not in the vocabulary is an
                error, unless `across_classes` is set: then such a prediction has no class.
            truth: instances, or COCO annotations; their `area` decides their size class. Objects
                with the class `IGNORE` count only where classes play no role.

        Raises:
            SegtuneError: the image was given before, a class is unknown, a score is no number, or
                masks do not fit each other.
        """
        if image_id in self._images:
            raise SegtuneError(f"image {image_id!r} was already given; every image counts once")
        try:
            self._images[image_id] = self._table(predictions, truth)
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
        table, stride = JoinedTable.of(self._images), self.num_classes + 1
        pairs = table.pairs_in(table.object_images * stride + table.object_classes)
        named = table.object_classes[pairs.objects] < self.num_classes
        same = table.pred_classes[pairs.preds] == table.object_classes[pairs.objects]
        ranks = ranks_within(table.pred_images * stride + table.pred_classes)
        kinds = table.object_kinds(areas)
        matches = self._match(table, pairs.where(named & same), ranks, kinds, limits)
        precision, recall = curves(
            table, matches, ranks, kinds, limits=limits, areas=areas, num_classes=self.num_classes
        )
        return self._scores(self.class_names, precision, recall, limits, areas, self.groups)

    def class_agnostic(
        self,
        *,
        limits: Sequence[int] = (1, 10, 100),
        areas: AreaRanges = COCO_AREAS,
        only: Collection[int] | None = None,
        others: Literal["drop", "take out"] = "drop",
        crowds: Literal["ignore", "drop"] = "ignore",
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
        table = JoinedTable.of(self._images)
        if crowds == "drop":
            table = table.with_objects(~table.is_crowd)
        is_asked = np.full(len(table.is_crowd), only is None)
        if only is not None:
            is_asked = np.isin(table.object_classes, list(only))
        if others == "drop":
            table, is_asked = table.with_objects(is_asked), is_asked[is_asked]
        # What leaves the list depends on the area range, so each range then has its own list.
        parts = [{name: area} for name, area in areas.items()] if others == "take out" else [areas]
        table = table.without_classes()
        pairs = table.pairs_in(table.object_images)
        found = []
        for part in parts:
            kinds = table.object_kinds(part)
            kinds[~is_asked] = TAKEN_OUT
            ranks = ranks_within(table.pred_images)
            matches = self._match(table, pairs, ranks, kinds, limits)
            if others == "take out":
                ranks = ranks_of_the_rest(table, matches, ranks, limit=max(limits))
            found.append(
                curves(table, matches, ranks, kinds, limits=limits, areas=part, num_classes=1)
            )
        precision, recall = (np.concatenate(part, axis=-2) for part in zip(*found, strict=True))
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
        table = JoinedTable.of(self._images)
        table = table.with_objects(~table.is_crowd & (table.object_classes < self.num_classes))
        ranks, kinds = ranks_within(table.pred_images), table.object_kinds(areas)
        pairs = table.pairs_in(table.object_images * self.num_classes + table.object_classes)
        matches = self._match(table, pairs, ranks, kinds, limits)
        shape = (self.num_classes, len(areas), len(self.iou_thresholds))
        total, hits = np.zeros((*shape[:2], 1)), np.zeros((len(limits), *shape))
        np.add.at(total[..., 0], table.object_classes, kinds == REGULAR)
        for number, limit in enumerate(limits):
            within = ranks[matches.preds] < limit
            classes = matches.units[within] % self.num_classes
            np.add.at(hits[number], classes, matches.kinds[within] == REGULAR)
        with np.errstate(invalid="ignore"):
            recall = (hits / total).transpose(3, 1, 2, 0)
        groups = self.groups | {name: tuple(ids) for name, ids in (groups or {}).items()}
        return self._scores(self.class_names, None, recall, limits, areas, groups)

    def _table(self, predictions: Sequence[Region], truth: Sequence[Region]) -> ImageTable:
        """Returns what is kept of an image."""
        scores = _scores_of(predictions)
        pred_classes = self._classes_of(predictions, may_be_unknown=self._across_classes)
        best_first = np.lexsort((pred_classes, -scores))
        pred_classes, scores = pred_classes[best_first], scores[best_first]
        object_classes = self._classes_of(truth, may_be_unknown=False)
        by_class = np.argsort(object_classes, kind="stable")
        object_classes = object_classes[by_class]
        preds = regions_of([predictions[i] for i in best_first], overlap_of=self._overlap_of)
        truth = [truth[i] for i in by_class]
        objects = regions_of(truth, overlap_of=self._overlap_of)
        is_crowd = _are_crowds(truth)
        allowed = None if self._across_classes else pred_classes[:, None] == object_classes
        pairs = overlap_pairs(
            preds,
            objects,
            is_crowd=is_crowd,
            at_least=min(self.iou_thresholds.min(), 1 - 1e-10),
            allowed=allowed,
        )
        areas = _areas_of(truth, objects.pixels)
        return ImageTable(
            scores, pred_classes, preds.pixels, object_classes, areas, is_crowd, pairs
        )

    def _classes_of(self, items: Sequence[Any], *, may_be_unknown: bool) -> np.ndarray:
        """Returns (N,) int64 class ids, K where there is no class."""
        unknown = self.num_classes
        if not are_entries(items):
            ids = np.array([item.class_id for item in items], dtype=np.int64)
            if len(ids) and not IGNORE <= ids.min() <= ids.max() < unknown:
                raise SegtuneError(
                    f"class ids {ids.min()}..{ids.max()} are not in the vocabulary of {unknown} "
                    "classes; score with the vocabulary that was used"
                )
            return np.where(ids == IGNORE, unknown, ids)
        class_of = self._class_of_category
        ids = np.array([class_of.get(x["category_id"], unknown) for x in items], dtype=np.int64)
        if not may_be_unknown and unknown in ids:
            category = items[ids.tolist().index(unknown)]["category_id"]
            raise SegtuneError(
                f"category {category} is not in the vocabulary; pass the data set's category_ids "
                "to the evaluator"
            )
        return ids

    def _match(
        self,
        table: JoinedTable,
        pairs: Pairs,
        ranks: np.ndarray,
        kinds: np.ndarray,
        limits: Sequence[int],
    ) -> Matches:
        """Returns the matching of the predictions within the largest limit."""
        if not len(limits) or min(limits) < 1:
            raise SegtuneError(f"limits={limits}: expected numbers of predictions, at least 1")
        pairs = pairs.where(ranks[pairs.preds] < max(limits))
        return match(pairs, kinds, is_crowd=table.is_crowd, thresholds=self.iou_thresholds)

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


def _scores_of(items: Sequence[Any]) -> np.ndarray:
    """Returns (N,) float64."""
    given = [x["score"] for x in items] if are_entries(items) else [x.score for x in items]
    scores = np.array(given, dtype=np.float64)
    if not np.isfinite(scores).all():
        wrong = scores[~np.isfinite(scores)][0]
        raise SegtuneError(f"a prediction has the score {wrong}; expected a finite number")
    return scores


def _are_crowds(items: Sequence[Any]) -> np.ndarray:
    """Returns (N,) bool."""
    is_entry = are_entries(items)
    return np.array([x.get("iscrowd", 0) if is_entry else x.is_crowd for x in items], dtype=bool)


def _areas_of(items: Sequence[Any], pixels: np.ndarray) -> np.ndarray:
    """Returns (N,) float64: annotated areas, or those of the masks even where boxes count."""
    if not are_entries(items):
        return np.array([np.count_nonzero(x.mask) for x in items], dtype=np.float64)
    areas = [x.get("area", area) for x, area in zip(items, pixels.tolist(), strict=True)]
    return np.array(areas, dtype=np.float64)
