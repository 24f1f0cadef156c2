"""Clicks, boxes and the IoU of their answers."""

from __future__ import annotations

import numpy as np
import pytest

from segtune.errors import SegtuneError
from segtune.eval.promptable import (
    BOX,
    CLICK,
    ORACLE,
    PromptableEvaluator,
    click_of,
    evaluate_promptable,
)
from segtune.types import IGNORE, Instance, Sample, Vocabulary

VOCABULARY = Vocabulary.of("car", "tree")


def rectangle(x1: int, y1: int, x2: int, y2: int, size=(40, 50)) -> np.ndarray:
    mask = np.zeros(size, dtype=bool)
    mask[y1:y2, x1:x2] = True
    return mask


def slow_click(mask: np.ndarray) -> tuple[float, float]:
    """The pixel whose nearest pixel outside, or outside the image, is farthest."""
    height, width = mask.shape
    outside = [
        (y, x)
        for y in range(-1, height + 1)
        for x in range(-1, width + 1)
        if not (0 <= y < height and 0 <= x < width and mask[y, x])
    ]
    best, place = -1.0, (0, 0)
    for y, x in zip(*np.nonzero(mask), strict=True):
        distance = min((y - v) ** 2 + (x - u) ** 2 for v, u in outside)
        if distance > best:
            best, place = distance, (x, y)
    return place[0] + 0.5, place[1] + 0.5


@pytest.mark.parametrize("seed", range(6))
def test_click_equals_a_search(seed) -> None:
    mask = np.random.default_rng(seed).random((9, 11)) < 0.75
    assert click_of(mask) == slow_click(mask)


def test_clicks_by_hand() -> None:
    assert click_of(rectangle(3, 4, 4, 5)) == (3.5, 4.5)
    assert click_of(rectangle(10, 20, 15, 25)) == (12.5, 22.5)
    ring = rectangle(0, 0, 30, 30) & ~rectangle(5, 5, 25, 25)
    x, y = click_of(ring)
    assert ring[int(y), int(x)]
    with pytest.raises(SegtuneError, match="empty mask"):
        click_of(np.zeros((3, 3), bool))


def test_one_prompt_per_object_and_rows_by_size() -> None:
    small, medium = rectangle(0, 0, 4, 4), rectangle(0, 0, 50, 40)
    crowd, empty = Instance(0, small, is_crowd=True), Instance(0, np.zeros((40, 50), bool))
    truth = (crowd, Instance(0, small), empty, Instance(1, medium))
    sample = Sample("a", np.zeros((40, 50, 3), np.uint8), instances=truth)
    seen = {}

    def by_click(sample, clicks):
        seen["clicks"] = clicks
        return [rectangle(0, 0, 4, 2), medium]

    def by_box(sample, boxes):
        seen["boxes"] = boxes
        return np.stack([rectangle(*box) for box in boxes.astype(int)])

    nothing = Sample("b", sample.image, instances=(crowd, empty))
    scores = evaluate_promptable([sample, nothing], VOCABULARY, by_click=by_click, by_box=by_box)
    assert seen["clicks"].shape == (2, 2)
    assert seen["boxes"].tolist() == [[0, 0, 4, 4], [0, 0, 50, 40]]
    row = scores.summary()
    assert (row["1-click IoU"], row["1-box IoU"]) == (0.75, 1.0)
    assert (row["1-click IoU small"], row["1-click IoU medium"]) == (0.5, 1.0)
    assert np.isnan(row["1-click IoU large"])
    assert scores.per_class()["1-click IoU"].tolist() == [0.5, 1.0]
    only_boxes = evaluate_promptable([sample], VOCABULARY, by_box=by_box)
    assert list(only_boxes.ious) == [BOX]
    assert np.isnan(only_boxes.mean_iou(CLICK))


def test_best_of_a_pool_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    pool = [rng.random((12, 10)) < rng.random() for _ in range(30)]
    truth = [Instance(int(k), rng.random((12, 10)) < 0.3) for k in rng.integers(-1, 2, 5)]
    evaluator = PromptableEvaluator(VOCABULARY)
    evaluator.update_best(ORACLE, truth, pool)
    evaluator.update_best(ORACLE, [], pool)
    best = [max((p & t.mask).sum() / (p | t.mask).sum() for p in pool) for t in truth]
    scores = evaluator.result()
    np.testing.assert_allclose(scores.ious[ORACLE], best, rtol=1e-15)
    assert scores.mean_iou(ORACLE) == pytest.approx(np.mean(best))


def test_nothing_asked_and_nothing_answered() -> None:
    evaluator = PromptableEvaluator(VOCABULARY)
    assert evaluator.result().summary() == {}
    evaluator.update_best(ORACLE, [Instance(IGNORE, rectangle(0, 0, 2, 2))], [])
    scores = evaluator.result()
    assert scores.mean_iou(ORACLE) == 0
    assert np.isnan(scores.per_class()["1-point oracle IoU"]).all()


@pytest.mark.parametrize(
    ("class_id", "answers", "message"),
    [
        (0, [], "0 answers for 1 objects"),
        (0, [np.ones((3, 4), bool)], "expected bool of \\(40, 50\\)"),
        (0, [np.ones((40, 50))], "float64 array"),
        (2, [rectangle(0, 0, 1, 1)], "class id 2"),
    ],
)
def test_bad_input_is_one_clear_line(class_id, answers, message) -> None:
    truth = [Instance(class_id, rectangle(0, 0, 2, 2))]
    with pytest.raises(SegtuneError, match=message):
        PromptableEvaluator(VOCABULARY).update(CLICK, truth, answers)
