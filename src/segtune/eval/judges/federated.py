"""Scored things against data in which only some classes were looked for in an image, as in LVIS."""

from __future__ import annotations

from segtune.data.regions import objects_for
from segtune.eval.instances.evaluator import ONE_AREA, InstanceEvaluator
from segtune.eval.judges.instance import InstanceJudge, check_size
from segtune.eval.judging import Answers, check_words
from segtune.eval.result import Scores
from segtune.types import Sample


class FederatedJudge(InstanceJudge):
    """Average precision by LVIS's protocol; where a sample lists no absent classes, all count."""

    def count(self, sample: Sample, answers: Answers) -> float:
        """Adds a sample and returns its AP."""
        truth = objects_for("instance", sample, self.vocabulary).instances
        check_words(sample, answers[0], self.vocabulary)
        check_size(sample, answers[0], truth)
        one = InstanceEvaluator(self.vocabulary)
        one.update(
            sample.id,
            answers[0].segments,
            truth,
            absent=sample.absent_ids,
            not_exhaustive=sample.not_exhaustive_ids,
        )
        self.total.merge(one)
        return one.federated(areas=ONE_AREA).average_precision()

    def scores(self) -> Scores:
        """Returns AP and AR with 300 predictions per image."""
        return self.total.federated()
