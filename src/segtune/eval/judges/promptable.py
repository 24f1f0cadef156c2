"""One click and one box for every annotated object, and the mask that answers each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from segtune.data.samples import as_segmentation
from segtune.eval.judging import Answers, ScoredModel
from segtune.eval.promptable import BOX, CLICK, PromptableEvaluator, click_of
from segtune.eval.result import Scores
from segtune.types import IGNORE, Instance, Sample, Segmentation, Vocabulary


class PromptableJudge:
    """Mean IoU of the answers to clicks and to boxes."""

    confusion: None = None

    def __init__(self, model: ScoredModel, vocabulary: Vocabulary) -> None:
        self.model, self.vocabulary = model, vocabulary
        self.total = PromptableEvaluator(vocabulary)

    def ask(self, sample: Sample) -> Answers:
        """Returns the answers to the clicks and to the boxes; none where there is no object."""
        objects = _clickable(sample)
        if not objects:
            return ()
        clicks = np.array([click_of(item.mask) for item in objects], np.float32)
        boxes = np.array([item.box_px for item in objects], np.float32)
        seen = self.model.look(sample)
        return seen.points(clicks), seen.boxes(boxes)

    def count(self, sample: Sample, answers: Answers) -> float:
        """Adds a sample and returns the mean IoU over its objects and both ways of asking."""
        objects = _clickable(sample)
        one = PromptableEvaluator(self.vocabulary)
        for protocol, answer in zip((CLICK, BOX), answers, strict=bool(answers)):
            masks = [segment.full_mask(answer.size) for segment in answer.segments]
            one.update(protocol, objects, masks)
            self.total.update(protocol, objects, masks)
        scores = one.result()
        return float(np.mean([scores.mean_iou(name) for name in (CLICK, BOX)]))

    def scores(self) -> Scores:
        """Returns mean overlaps."""
        return self.total.result()

    def pictures(self, sample: Sample, answers: Answers) -> tuple[Segmentation, Segmentation]:
        """Returns the objects, and the answers to the clicks in the colours of their objects."""
        objects = _clickable(sample)
        truth = as_segmentation(replace(sample, instances=tuple(objects)), self.vocabulary)
        segments = [
            replace(segment, class_id=item.class_id)
            for item, segment in zip(objects, answers[0].segments, strict=True)
            if item.class_id != IGNORE and segment.mask.any()
        ]
        shown = replace(truth, semantic=None)
        return shown, replace(shown, segments=tuple(segments))


def _clickable(sample: Sample) -> list[Instance]:
    """Returns the objects that can be pointed at: no crowds, and none without a pixel."""
    return [item for item in sample.instances if not item.is_crowd and item.mask.any()]
