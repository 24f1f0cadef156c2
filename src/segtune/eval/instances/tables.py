"""What an instance evaluation keeps: of each image a short table, joined into one at the end.

Predictions of an image are ordered by falling score; of equal scores by class, then as they were
given. Objects are ordered by class, then as given. Class id K stands for "no class".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from segtune.eval.instances.matching import (
    IGNORED,
    RECALLS,
    REGULAR,
    TAKEN_OUT,
    Matches,
    Pairs,
    precision_recall,
    ranks_within,
)
from segtune.eval.instances.overlaps import OverlapPairs

BLOCK = 1000
"""Images that are matched at a time, where memory must not grow with their number."""


@dataclass(frozen=True)
class ImageTable:
    """One image: D predictions, G objects, and the pairs that can match.

    Attributes:
        scores: (D,) float64, falling.
        pred_classes, object_classes: (D,) and (G,) int64, 0..K.
        pred_areas, object_areas: (D,) and (G,) float64, pixels.
        is_crowd: (G,) bool.
        pred_places: (D,) int64, place by score, of equal scores as they were given.
        pred_marks: (D,) int8, what is known of the class in the image; see `federated`.
    """

    scores: np.ndarray
    pred_classes: np.ndarray
    pred_areas: np.ndarray
    pred_places: np.ndarray
    pred_marks: np.ndarray
    object_classes: np.ndarray
    object_areas: np.ndarray
    is_crowd: np.ndarray
    pairs: OverlapPairs


@dataclass(frozen=True)
class JoinedTable:
    """All images: N predictions, M objects, n pairs, image by image in the order of their ids.

    Attributes:
        pred_images, object_images: (N,) and (M,) int64, the place of the image in that order.
        pair_preds, pair_objects: (n,) int64, indices into the joined predictions and objects.
        pair_ious: (n,) float64, 0..1.
    """

    scores: np.ndarray
    pred_images: np.ndarray
    pred_classes: np.ndarray
    pred_areas: np.ndarray
    pred_places: np.ndarray
    pred_marks: np.ndarray
    object_images: np.ndarray
    object_classes: np.ndarray
    object_areas: np.ndarray
    is_crowd: np.ndarray
    pair_preds: np.ndarray
    pair_objects: np.ndarray
    pair_ious: np.ndarray

    @classmethod
    def of(cls, images: Mapping[int | str, ImageTable]) -> JoinedTable:
        """Returns the tables of all images as one; numbers come before names."""
        ids = sorted(images, key=lambda i: (isinstance(i, str), i))
        tables = [images[image_id] for image_id in ids]
        num_preds = np.array([len(table.scores) for table in tables], dtype=np.int64)
        num_objects = np.array([len(table.is_crowd) for table in tables], dtype=np.int64)
        num_pairs = [len(table.pairs.ious) for table in tables]
        first_pred, first_object = (np.cumsum(n) - n for n in (num_preds, num_objects))
        position = np.arange(len(tables))
        return cls(
            scores=_joined([table.scores for table in tables], np.float64),
            pred_images=np.repeat(position, num_preds),
            pred_classes=_joined([table.pred_classes for table in tables], np.int64),
            pred_areas=_joined([table.pred_areas for table in tables], np.float64),
            pred_places=_joined([table.pred_places for table in tables], np.int64),
            pred_marks=_joined([table.pred_marks for table in tables], np.int8),
            object_images=np.repeat(position, num_objects),
            object_classes=_joined([table.object_classes for table in tables], np.int64),
            object_areas=_joined([table.object_areas for table in tables], np.float64),
            is_crowd=_joined([table.is_crowd for table in tables], np.bool_),
            pair_preds=_joined([table.pairs.preds for table in tables], np.int64)
            + np.repeat(first_pred, num_pairs),
            pair_objects=_joined([table.pairs.objects for table in tables], np.int64)
            + np.repeat(first_object, num_pairs),
            pair_ious=_joined([table.pairs.ious for table in tables], np.float64),
        )

    @classmethod
    def blocks(cls, images: Mapping[int | str, ImageTable]) -> Iterator[JoinedTable]:
        """Yields the tables of at most `BLOCK` images at a time, for what adds up over images."""
        entries = iter(images.items())
        while part := dict(islice(entries, BLOCK)):
            yield cls.of(part)

    def with_objects(self, keep: np.ndarray) -> JoinedTable:
        """Returns the table with only the objects of the (M,) bool mask."""
        new_number = np.cumsum(keep) - 1
        pairs = keep[self.pair_objects]
        return replace(
            self,
            object_images=self.object_images[keep],
            object_classes=self.object_classes[keep],
            object_areas=self.object_areas[keep],
            is_crowd=self.is_crowd[keep],
            pair_preds=self.pair_preds[pairs],
            pair_objects=new_number[self.pair_objects[pairs]],
            pair_ious=self.pair_ious[pairs],
        )

    def without_classes(self) -> JoinedTable:
        """Returns the table with one class for all."""
        return replace(
            self,
            pred_classes=np.zeros_like(self.pred_classes),
            object_classes=np.zeros_like(self.object_classes),
        )

    def pairs_in(self, unit_of_object: np.ndarray) -> Pairs:
        """Returns all pairs; (M,) int says with which others an object's pairs compete."""
        units = unit_of_object[self.pair_objects]
        return Pairs(units, self.pair_preds, self.pair_objects, self.pair_ious)

    def object_kinds(self, areas: Mapping[str, tuple[float, float]]) -> np.ndarray:
        """Returns (M, A) int8: `IGNORED` for crowds and objects outside the range."""
        is_regular = is_inside(self.object_areas, areas) & ~self.is_crowd[:, None]
        return np.where(is_regular, REGULAR, IGNORED).astype(np.int8)


def is_inside(pixels: np.ndarray, areas: Mapping[str, tuple[float, float]]) -> np.ndarray:
    """Returns (N, A) bool: whether each area lies in each range, both ends included."""
    low, high = np.array(list(areas.values()), dtype=np.float64).T
    return (pixels[:, None] >= low) & (pixels[:, None] <= high)


def curves(
    table: JoinedTable,
    matches: Matches,
    ranks: np.ndarray,
    kinds: np.ndarray,
    *,
    limits: Sequence[int],
    areas: Mapping[str, tuple[float, float]],
    num_classes: int,
    may_be_wrong: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns precision (T, R, K, A, L) and recall (T, K, A, L) of every class.

    Args:
        may_be_wrong: (N,) bool, whether an unmatched prediction is an error; None means all are.
        matches: at least of the predictions within the largest limit.
        ranks: (N,), place of each prediction in its list.
        kinds: (M, A), what each object is.
    """
    order = np.argsort(matches.preds)
    matched, matched_kinds = matches.preds[order], matches.kinds[order]
    inside = is_inside(table.pred_areas, areas)
    if may_be_wrong is not None:
        inside &= may_be_wrong[:, None]
    shape = (matches.kinds.shape[2], len(RECALLS), num_classes, len(areas), len(limits))
    precision = np.full(shape, np.nan)
    recall = np.full((shape[0], *shape[2:]), np.nan)
    preds_of = _members(table.pred_classes, num_classes)
    entries_of = _members(table.pred_classes[matched], num_classes)
    objects_of = _members(table.object_classes, num_classes)
    for k in range(num_classes):
        num_regular = (kinds[objects_of[k]] == REGULAR).sum(0)
        if not num_regular.any():
            continue
        preds, entries = preds_of[k], entries_of[k]
        precision[:, :, k], recall[:, k] = precision_recall(
            table.scores[preds],
            ranks[preds],
            inside[preds],
            np.searchsorted(preds, matched[entries]),
            matched_kinds[entries],
            num_regular=num_regular,
            limits=limits,
        )
    return precision, recall


def ranks_of_the_rest(
    table: JoinedTable, matches: Matches, ranks: np.ndarray, *, limit: int
) -> np.ndarray:
    """Returns (N,) places after predictions that matched a `TAKEN_OUT` object have left.

    Args:
        matches: for one area range; those at the first threshold decide.
        ranks: (N,), place of each prediction before.
        limit: predictions that are looked at, per image.
    """
    stays = ranks < limit
    stays[matches.preds[matches.kinds[:, 0, 0] == TAKEN_OUT]] = False
    left = np.full(len(ranks), np.iinfo(np.int64).max)
    left[stays] = ranks_within(table.pred_images[stays])
    return left


def _members(classes: np.ndarray, num_classes: int) -> list[np.ndarray]:
    """Returns the indices of every class, ascending."""
    order = np.argsort(classes, kind="stable")
    return np.split(order, np.searchsorted(classes[order], np.arange(1, num_classes + 1)))


def _joined(parts: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype, copy=False)
