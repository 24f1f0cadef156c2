"""Greedy matching of predictions with objects, and precision and recall over the matches.

The rules are those of COCO's evaluation, for many images, area ranges and thresholds at once:
- predictions choose in order of their score, each the free object that it overlaps most, of equal
  overlaps the later one, if the overlap reaches the threshold;
- an object that is ignored (a crowd, or outside the area range) is chosen only where no other one
  can be; a crowd stays free. What matched an ignored object counts as neither right nor wrong, and
  so does an unmatched prediction outside the area range;
- precision at a recall is the best one at that recall or above.
A match never depends on predictions with lower scores, so one matching serves every limit on the
number of predictions.

Shape letters: n pairs, M objects, N predictions, E predictions with a candidate, A area ranges,
T overlap thresholds, R recalls, L limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

UNMATCHED, REGULAR, IGNORED, TAKEN_OUT = 0, 1, 2, 3
"""What a prediction matched. `TAKEN_OUT` is an ignored object whose matches leave the list."""

RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True)
class Pairs:
    """Overlaps of many images, in no particular order.

    Attributes:
        units: (n,) int64; pairs of different units have nothing to do with each other.
        preds: (n,) int64; of one unit, the smaller number has the better score.
        objects: (n,) int64; an object belongs to one unit.
        ious: (n,) float64, 0..1.
    """

    units: np.ndarray
    preds: np.ndarray
    objects: np.ndarray
    ious: np.ndarray

    def where(self, keep: np.ndarray) -> Pairs:
        """Returns the pairs of the (n,) bool mask."""
        return Pairs(self.units[keep], self.preds[keep], self.objects[keep], self.ious[keep])


@dataclass(frozen=True)
class Matches:
    """What the predictions that have a candidate matched; all others are `UNMATCHED`.

    Attributes:
        units, preds: (E,) int64, ordered by unit, then prediction.
        kinds: (E, A, T) int8.
    """

    units: np.ndarray
    preds: np.ndarray
    kinds: np.ndarray


def match(
    pairs: Pairs, kinds: np.ndarray, *, is_crowd: np.ndarray, thresholds: np.ndarray
) -> Matches:
    """Returns the greedy matching of every unit, area range and threshold.

    The loop is over turns: in turn t, the t-th prediction of every unit chooses.

    Args:
        kinds: (M, A) int8, what each object is in each area range, never `UNMATCHED`.
        is_crowd: (M,) bool.
        thresholds: (T,) overlaps, above 0.
    """
    order = np.lexsort((-pairs.objects, -pairs.ious, pairs.preds, pairs.units))
    objects, ious = pairs.objects[order], pairs.ious[order]
    starts = np.flatnonzero(_changes(pairs.units[order], pairs.preds[order]))
    units, preds = pairs.units[order][starts], pairs.preds[order][starts]
    counts = np.diff(starts, append=len(order))
    turns = _ranks(units)
    by_turn = np.argsort(turns, kind="stable")
    ends = np.cumsum(np.bincount(turns))
    lowest = np.minimum(thresholds, 1 - 1e-10)
    num_areas, num_thresholds = kinds.shape[1], len(thresholds)
    is_free = np.ones((len(kinds), num_areas, num_thresholds), dtype=bool)
    found = np.zeros((len(starts), num_areas, num_thresholds), dtype=np.int8)
    for entries in np.split(by_turn, ends[:-1]) if len(turns) else ():
        most = int(counts[entries].max())
        slots = np.arange(most)
        at = np.minimum(starts[entries, None] + slots, len(order) - 1)
        candidates = objects[at]  # (e, C), best first
        fits = (ious[at, None] >= lowest) & (slots < counts[entries, None])[..., None]  # (e, C, T)
        # The first candidate that fits and is free, the regular ones before the ignored ones.
        value = (most - slots[:, None]) + most * (kinds[candidates] == REGULAR)  # (e, C, A)
        can = is_free[candidates] & fits[:, :, None]  # (e, C, A, T)
        value = value.astype(np.int16)[..., None] * can
        choice = value.argmax(1)  # (e, A, T)
        chosen = candidates[np.arange(len(entries))[:, None, None], choice]
        has_match = can.any(1)
        areas = np.arange(num_areas)[:, None]
        found[entries] = np.where(has_match, kinds[chosen, areas], UNMATCHED)
        takes = np.nonzero(has_match & ~is_crowd[chosen])
        is_free[chosen[takes], takes[1], takes[2]] = False
    return Matches(units, preds, found)


def precision_recall(
    scores: np.ndarray,
    ranks: np.ndarray,
    is_inside: np.ndarray,
    matched: np.ndarray,
    kinds: np.ndarray,
    *,
    num_regular: np.ndarray,
    limits: Sequence[int],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns precision (T, R, A, L) and recall (T, A, L) of one class; NaN without an object.

    Only matches raise the recall, and precision falls between them, so the curve is known from its
    values at the matches.

    Args:
        scores: (N,), of all predictions of the class, in the order that breaks ties.
        ranks: (N,) int, place of each prediction in its image, from 0.
        is_inside: (N, A) bool, whether an unmatched prediction counts as an error.
        matched: (E,) int, the predictions that `kinds` is about, ascending.
        kinds: (E, A, T) int8, from `match`.
        num_regular: (A,) int, objects to be found.
        limits: predictions per image.
    """
    num_areas, num_thresholds = kinds.shape[1:]
    precision = np.full((num_thresholds, len(RECALLS), num_areas, len(limits)), np.nan)
    recall = np.full((num_thresholds, num_areas, len(limits)), np.nan)
    place = np.empty(len(scores), dtype=np.int64)
    order = np.argsort(-scores, kind="stable")
    place[order] = np.arange(len(order))
    by_score = np.argsort(place[matched])
    matched, kinds = matched[by_score], kinds[by_score].transpose(1, 2, 0)  # (A, T, E)
    for number, limit in enumerate(limits):
        within = matched[keep := ranks[matched] < limit]
        kept = kinds[:, :, keep]
        # How many predictions count up to each match: as if none matched, then corrected.
        unmatched_errors = is_inside[order].T & (ranks[order] < limit)
        base = np.cumsum(unmatched_errors, axis=1, dtype=np.int32)[:, place[within]]  # (A, E)
        inside = is_inside[within].T[:, None]  # (A, 1, E)
        is_hit = kept == REGULAR
        counts = is_hit | (inside & (kept == UNMATCHED))
        extra = np.cumsum(counts.view(np.int8) - inside.view(np.int8), axis=-1, dtype=np.int32)
        best, hits = _best_precisions(is_hit, base[:, None] + extra)
        for area, total in enumerate(num_regular.tolist()):
            if total:
                recall[:, area, number] = hits[area] / total
                needed = np.searchsorted(np.arange(1, total + 1) / total, RECALLS)
                columns = np.minimum(needed, best.shape[-1] - 1)
                precision[:, :, area, number] = best[area][:, columns]
    return precision, recall


def _best_precisions(is_hit: np.ndarray, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the best precision with at least 1, 2, ... hits, and the number of hits.

    Args:
        is_hit: (A, T, E) bool, in order of the score.
        counted: (A, T, E) int, predictions that are right or wrong so far.

    Returns:
        (A, T, most hits + 1) float64, whose last column is 0, and (A, T) int64.
    """
    num_areas, num_thresholds = is_hit.shape[:2]
    rows = is_hit.reshape(num_areas * num_thresholds, -1)
    row, column = np.nonzero(rows)
    hits = np.bincount(row, minlength=len(rows))
    number = np.arange(len(row)) - (np.cumsum(hits) - hits)[row]
    best = np.zeros((len(rows), int(hits.max(initial=0)) + 1))
    # The term in the denominator is COCO's guard against 0 / 0.
    right_or_wrong = counted.reshape(rows.shape)[row, column] + np.spacing(1)
    best[row, number] = (number + 1) / right_or_wrong
    best = np.maximum.accumulate(best[:, ::-1], axis=1)[:, ::-1]
    return best.reshape(num_areas, num_thresholds, -1), hits.reshape(num_areas, num_thresholds)


def ranks_of(scores: np.ndarray) -> np.ndarray:
    """Returns the place of each score, from 0; of equal scores, the first comes first.

    Example:
        >>> ranks_of(np.array([0.1, 0.9, 0.1])).tolist()
        [1, 0, 2]
    """
    ranks = np.empty(len(scores), dtype=np.int64)
    ranks[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    return ranks


def ranks_within(groups: np.ndarray) -> np.ndarray:
    """Returns the place of each element among those of its group before it, from 0.

    Example:
        >>> ranks_within(np.array([7, 3, 7, 7])).tolist()
        [0, 0, 1, 2]
    """
    order = np.argsort(groups, kind="stable")
    ranks = np.empty(len(groups), dtype=np.int64)
    ranks[order] = _ranks(groups[order])
    return ranks


def _ranks(ordered: np.ndarray) -> np.ndarray:
    """Returns the place of each element in its run of equal values."""
    starts = np.flatnonzero(_changes(ordered))
    lengths = np.diff(starts, append=len(ordered))
    return np.arange(len(ordered)) - np.repeat(starts, lengths)


def _changes(*keys: np.ndarray) -> np.ndarray:
    """Returns where an element differs from the one before in any of the keys."""
    changed = np.ones(len(keys[0]), dtype=bool)
    if len(changed):
        changed[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    return changed
