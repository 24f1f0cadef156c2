"""The table of instance scores by class."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from segtune.eval.instances.scores import InstanceScores


def scores(num_classes: int, *, with_precision: bool = True) -> InstanceScores:
    """Random curves of which some are unknown, class 1 entirely."""
    rng = np.random.default_rng(0)
    ious = tuple(np.linspace(0.5, 0.95, 10).tolist())
    precision = rng.random((10, 101, num_classes, 4, 3))
    recall = rng.random((10, num_classes, 4, 3))
    precision[:, :, rng.random(num_classes) < 0.2] = np.nan
    precision[rng.random(precision.shape) < 0.1] = np.nan
    precision[:, :, 1], recall[:, 1] = np.nan, np.nan
    names = tuple(f"class {k}" for k in range(num_classes))
    areas = ("all", "small", "medium", "large")
    found = precision if with_precision else None
    return InstanceScores(names, found, recall, ious, areas, (1, 10, 100))


@pytest.mark.parametrize("with_precision", [True, False])
def test_columns_equal_the_scores_of_one_class_each(with_precision: bool) -> None:
    table = scores(7, with_precision=with_precision)
    slow = {"AR@100": [table.average_recall(class_ids=[k]) for k in range(7)]}
    if with_precision:
        slow["AP"] = [table.average_precision(class_ids=[k]) for k in range(7)]
        for name, iou in (("AP50", 0.5), ("AP75", 0.75)):
            slow[name] = [table.average_precision(iou=iou, class_ids=[k]) for k in range(7)]
    columns = table.per_class()
    assert list(columns) == (["AP", "AP50", "AP75"] if with_precision else []) + ["AR@100"]
    for name, column in columns.items():
        np.testing.assert_array_equal(column, slow[name])
        assert np.isnan(column[1])


def test_one_class_by_hand() -> None:
    table = scores(3)
    assert table.precision is not None
    expected = np.nanmean(table.precision[5, :, 2, 0, 2])
    assert table.per_class()["AP75"][2] == pytest.approx(expected)
    assert table.per_class()["AR@100"][0] == pytest.approx(table.recall[:, 0, 0, 2].mean())


def test_time_grows_with_classes_and_not_with_their_square() -> None:
    """390 classes took 4 s of this processor when every class gathered all curves; now 0.05 s."""
    table = scores(390)
    began = time.process_time()
    table.per_class()
    assert time.process_time() - began < 1


def test_recall_alone_has_its_largest_limit_first() -> None:
    groups = {"unseen": (2, 3)}
    table = replace(scores(7, with_precision=False), groups=groups)
    names = list(table.summary())
    assert names[:3] == ["AR@100", "AR@10", "AR@1"]
    assert names[-3:] == ["AR@100(unseen)", "AR@10(unseen)", "AR@1(unseen)"]
    assert table.summary()["AR@10(unseen)"] == table.average_recall(limit=10, class_ids=(2, 3))
    both = replace(scores(7), groups=groups).summary()
    assert list(both)[-2:] == ["AP(unseen)", "AR@100(unseen)"]
