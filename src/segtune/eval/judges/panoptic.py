"""Segments that do not overlap, of things and stuff, against those of the annotation."""

from __future__ import annotations

from dataclasses import replace

from segtune.data.regions import objects_for
from segtune.data.samples import as_segmentation
from segtune.eval.judging import Answers, ScoredModel, check_words
from segtune.eval.panoptic import PanopticEvaluator
from segtune.eval.result import Scores
from segtune.types import Sample, Segmentation, Vocabulary


class PanopticJudge:
    """Panoptic quality."""

    confusion: None = None

    def __init__(self, model: ScoredModel, vocabulary: Vocabulary) -> None:
        self.model, self.vocabulary = model, vocabulary
        self.total = PanopticEvaluator(vocabulary)

    def ask(self, sample: Sample) -> Answers:
        """Returns the panoptic answer for a sample."""
        return (self.model.in_words(sample),)

    def count(self, sample: Sample, answers: Answers) -> float:
        """Adds a sample and returns its PQ."""
        check_words(sample, answers[0], self.vocabulary)
        one = PanopticEvaluator(self.vocabulary)
        one.update_from(answers[0], sample)
        self.total.merge(one)
        return one.result().average().pq

    def scores(self) -> Scores:
        """Returns PQ, SQ and RQ."""
        return self.total.result()

    def pictures(self, sample: Sample, answers: Answers) -> tuple[Segmentation, Segmentation]:
        """Returns the true segments, stuff included, and those of the answer."""
        truth = as_segmentation(objects_for("panoptic", sample, self.vocabulary), self.vocabulary)
        return replace(truth, semantic=None), replace(answers[0], semantic=None)
