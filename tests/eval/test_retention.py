from __future__ import annotations

import math

import numpy as np
import pytest

from segtune.errors import SegtuneError
from segtune.eval.retention import Retention
from segtune.eval.semantic import ConfusionMatrix, SemanticScores
from segtune.types import Concept, Vocabulary

VOCABULARY = Vocabulary(
    (Concept("a", group="seen"), Concept("b", group="unseen"), Concept("c", group="unseen"))
)


def scores(pred: list[int], truth: list[int]) -> SemanticScores:
    matrix = ConfusionMatrix(3)
    matrix.update(np.array(pred), np.array(truth))
    return matrix.scores(VOCABULARY)


def test_drops_by_hand() -> None:
    retention = Retention(scores([0, 0, 1, 1], [0, 0, 1, 1]), scores([0, 0, 0, 1], [0, 0, 1, 1]))
    assert retention.drop == pytest.approx(1 - (2 / 3 + 1 / 2) / 2)
    assert retention.seen_drop == pytest.approx(1 / 3)
    assert retention.unseen_drop == pytest.approx(1 / 2)
    assert [(row.name, row.before) for row in retention.classes()] == [("b", 1), ("a", 1)]
    assert retention.classes()[0].change == pytest.approx(-1 / 2)


def test_classes_that_come_and_go_have_no_change() -> None:
    retention = Retention(scores([0, 1], [0, 1]), scores([0, 2], [0, 1]))
    changes = {row.name: row.change for row in retention.classes()}
    assert changes["b"] == -1
    assert math.isnan(changes["c"])


def test_only_the_same_question_can_be_compared() -> None:
    matrix = ConfusionMatrix(3)
    other = matrix.scores(Vocabulary.of("x", "y", "z"))
    with pytest.raises(SegtuneError, match="one vocabulary with itself"):
        Retention(scores([0], [0]), other)
    with pytest.raises(SegtuneError, match="different images"):
        Retention(scores([0], [0]), scores([0], [1]))
