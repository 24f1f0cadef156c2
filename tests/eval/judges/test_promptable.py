"""Clicks and boxes on every object of a data set."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from segtune.data.samples import as_segmentation
from segtune.eval.judging import ScoredModel, judge
from segtune.predict.look import UNNAMED
from segtune.types import Instance, Sample, Segmentation
from tests.eval.worlds import SCENES

WORDS = SCENES.vocabulary


@dataclass(frozen=True)
class Seen:
    """Answers a click with the true object under it, a box with the filled box."""

    sample: Sample

    def points(self, points: np.ndarray, /) -> Segmentation:
        found: list[Instance] = []
        for x, y in points.astype(int):
            found += [item for item in self.sample.instances if item.mask[y, x]]
        return self._answer(found)

    def boxes(self, boxes: np.ndarray, /) -> Segmentation:
        found = []
        for x1, y1, x2, y2 in boxes.astype(int):
            mask = np.zeros(self.sample.pixels().shape[:2], bool)
            mask[y1:y2, x1:x2] = True
            found.append(Instance(0, mask))
        return self._answer(found)

    def _answer(self, found: list[Instance]) -> Segmentation:
        answer = as_segmentation(replace(self.sample, instances=tuple(found)), WORDS)
        return replace(answer, vocabulary=UNNAMED, semantic=None)


MODEL = ScoredModel(look=Seen)


def test_clicks_and_boxes() -> None:
    result = judge("promptable", MODEL, SCENES)
    summary = result.scores.summary()
    assert summary["1-click IoU"] == 1
    ious = []
    for sample in (SCENES[i] for i in range(5)):
        for item in sample.instances:
            x1, y1, x2, y2 = item.box_px
            ious.append(item.mask.sum() / ((x2 - x1) * (y2 - y1)))
    assert summary["1-box IoU"] == pytest.approx(np.mean(ious))


def test_pictures_show_clicks_in_the_colours_of_their_objects() -> None:
    for example in judge("promptable", MODEL, SCENES, examples=2).examples:
        truth, prediction = (
            [segment.class_id for segment in shown.segments]
            for shown in (example.truth, example.prediction)
        )
        assert truth == prediction
