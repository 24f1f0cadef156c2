"""Scores of regions as such."""

import numpy as np
import pytest

from segtune.eval.instances.region_scores import RegionScores
from segtune.eval.instances.scores import InstanceScores


def scores(recalls: tuple[float, ...], limits: tuple[int, ...], ap: float) -> InstanceScores:
    return InstanceScores(
        class_names=("object",),
        precision=np.full((1, 101, 1, 1, len(limits)), ap),
        recall=np.array(recalls).reshape(1, 1, 1, -1),
        iou_thresholds=(0.5,),
        areas=("all",),
        limits=limits,
    )


def test_recall_comes_first_and_groups_by_convention() -> None:
    both = RegionScores(
        scores((0.2, 0.6), (10, 100), 0.5),
        {"unseen": scores((0.1, 0.3), (10, 100), 0.9)},
        {"unseen": scores((0.25, 0.4, 0.8), (10, 100, 1000), 0.7)},
    )
    assert both.summary() == pytest.approx(
        {
            "AR@100": 0.6,
            "AP": 0.5,
            "AP50": 0.5,
            "AR@10": 0.2,
            "AR@100(unseen)": 0.3,
            "AR@10(unseen)": 0.1,
            "AR@100(unseen, others out)": 0.4,
            "AR@10(unseen, others out)": 0.25,
            "AP(unseen, others out)": 0.7,
        }
    )
    assert next(iter(both.summary())) == "AR@100"
    assert both.per_class() == {}
