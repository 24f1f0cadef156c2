"""The matching of many images at once against a loop over one image, in words."""

from __future__ import annotations

import numpy as np
import pytest

from segtune.eval.instances.matching import IGNORED, REGULAR, UNMATCHED, Pairs, match, ranks_within


def slow_match(ious: np.ndarray, ignored, is_crowd, threshold) -> list[int]:
    """One image, one threshold, in words: what each prediction takes, -1 for nothing."""
    free, taken = [True] * ious.shape[1], []
    for row in ious:
        best = -1
        for wanted in (False, True):
            for j, iou in enumerate(row):
                if ignored[j] == wanted and free[j] and iou >= min(threshold, 1 - 1e-10):
                    best = j if best < 0 or iou >= row[best] else best
            if best >= 0:
                break
        taken.append(best)
        if best >= 0 and not is_crowd[best]:
            free[best] = False
    return taken


@pytest.mark.parametrize("seed", range(20))
def test_matching_equals_a_loop(seed) -> None:
    rng = np.random.default_rng(seed)
    thresholds = np.array([0.3, 0.5, 1.0])
    units, preds, objects, ious, expected = [], [], [], [], {}
    kinds, crowd = [], []
    for unit in range(5):
        shape = tuple(rng.integers(0, 7, 2))
        table = rng.integers(0, 11, shape) / 10
        is_crowd = rng.random(shape[1]) < 0.2
        ignored = rng.random((shape[1], 2)) < 0.3
        ignored |= is_crowd[:, None]
        for i, j in zip(*np.nonzero(table >= 0.3), strict=True):
            units.append(unit)
            preds.append(100 * unit + i)
            objects.append(len(kinds) + j)
            ious.append(table[i, j])
        for area in range(2):
            for t, threshold in enumerate(thresholds):
                for i, j in enumerate(slow_match(table, ignored[:, area], is_crowd, threshold)):
                    kind = UNMATCHED if j < 0 else IGNORED if ignored[j, area] else REGULAR
                    expected[100 * unit + i, area, t] = kind
        kinds += np.where(ignored, IGNORED, REGULAR).tolist()
        crowd += is_crowd.tolist()
    order = rng.permutation(len(units))
    pairs = Pairs(*(np.array(x)[order] for x in (units, preds, objects)), np.array(ious)[order])
    kinds = np.array(kinds, dtype=np.int8).reshape(-1, 2)
    found = match(pairs, kinds, is_crowd=np.array(crowd, dtype=bool), thresholds=thresholds)
    got = dict.fromkeys(expected, UNMATCHED)
    for pred, of_pred in zip(found.preds.tolist(), found.kinds, strict=True):
        got |= {(pred, a, t): of_pred[a, t] for a in range(2) for t in range(3)}
    assert got == expected


def test_nothing_to_match() -> None:
    none = np.zeros(0, dtype=np.int64)
    pairs = Pairs(none, none, none, np.zeros(0))
    kinds = np.ones((2, 1), dtype=np.int8)
    found = match(pairs, kinds, is_crowd=np.zeros(2, bool), thresholds=np.array([0.5]))
    assert found.kinds.shape == (0, 1, 1)
    assert ranks_within(none).tolist() == []
