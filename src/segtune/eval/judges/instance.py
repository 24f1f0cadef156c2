"""Scored things against annotated ones, by COCO's protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from segtune.data.regions import objects_for
from segtune.data.samples import as_segmentation
from segtune.errors import DataError
from segtune.eval.instances.evaluator import ONE_AREA, ONE_LIMIT, InstanceEvaluator
from segtune.eval.judging import Answers, ScoredModel, check_words
from segtune.eval.result import Scores
from segtune.types import Instance, Sample, Segmentation, Vocabulary


class InstanceJudge:
    """Average precision and recall per class."""

    confusion: None = None

    def __init__(self, model: ScoredModel, vocabulary: Vocabulary) -> None:
        self.model, self.vocabulary = model, vocabulary
        self.total = InstanceEvaluator(vocabulary)

    def ask(self, sample: Sample) -> Answers:
        """Returns the scored things of a sample."""
        return (self.model.in_words(sample),)

    def count(self, sample: Sample, answers: Answers) -> float:
        """Adds a sample and returns its AP."""
        truth = objects_for("instance", sample, self.vocabulary).instances
        check_words(sample, answers[0], self.vocabulary)
        check_size(sample, answers[0], truth)
        one = InstanceEvaluator(self.vocabulary)
        one.update(sample.id, answers[0].segments, truth)
        self.total.merge(one)
        return one.result(limits=ONE_LIMIT, areas=ONE_AREA).average_precision()

    def scores(self) -> Scores:
        """Returns AP and AR."""
        return self.total.result()

    def pictures(self, sample: Sample, answers: Answers) -> tuple[Segmentation, Segmentation]:
        """Returns the true things, and as many of the best answers.

        A ranking has no threshold of its own, and a hundred regions show nothing.
        """
        truth = as_segmentation(objects_for("instance", sample, self.vocabulary), self.vocabulary)
        ranked = sorted(answers[0].segments, key=lambda segment: -segment.score)
        best = tuple(ranked[: len(truth.segments)])
        return replace(truth, semantic=None), replace(answers[0], semantic=None, segments=best)


def check_size(sample: Sample, answer: Segmentation, truth: Sequence[Instance]) -> None:
    """Raises where an answer is of another size than the masks of the truth."""
    for item in truth:
        if item.mask.shape != tuple(answer.size):
            (h, w), (height, width) = answer.size, item.mask.shape
            raise DataError(
                f"sample {sample.id!r}: the answer is {w}x{h} but its masks are {width}x{height}; "
                "masks must have the size of their image"
            )
