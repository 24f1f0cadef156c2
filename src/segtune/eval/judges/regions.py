"""Regions that find things whatever they are called: the open-world and class-agnostic tasks.

The answer of a model counts as a list of regions without names. One that is given under several
names counts once, with its best score.
"""

from __future__ import annotations

from dataclasses import replace

from segtune.data.regions import objects_for
from segtune.data.samples import as_segmentation
from segtune.eval.instances.evaluator import ONE_AREA, ONE_LIMIT, InstanceEvaluator
from segtune.eval.instances.region_scores import RegionScores
from segtune.eval.judges.instance import check_size
from segtune.eval.judging import Answers, ScoredModel
from segtune.eval.result import Scores
from segtune.ops.segments import distinct_regions
from segtune.types import IGNORE, Sample, Segmentation, Vocabulary

LIMITS = (1, 10, 100)
"""Regions per image."""
IN_LIST = 1000
"""Regions per image among which those on other objects are looked for, as published."""
THING = Vocabulary.of("thing")
"""What pictures call everything."""


class RegionJudge:
    """Collects regions without names and the things that they may find."""

    confusion: None = None

    def __init__(self, model: ScoredModel, vocabulary: Vocabulary) -> None:
        self.model, self.vocabulary = model, vocabulary
        self.total = self._evaluator()

    def _evaluator(self) -> InstanceEvaluator:
        return InstanceEvaluator(self.vocabulary, across_classes=True)

    def ask(self, sample: Sample) -> Answers:
        """Returns the scored regions of a sample, over whatever words the model has."""
        answer = self.model.in_words(sample)
        regions = tuple(
            replace(region, class_id=IGNORE) for region in distinct_regions(answer.segments)
        )
        return (replace(answer, semantic=None, segments=regions),)

    def _added(self, sample: Sample, answers: Answers) -> InstanceEvaluator:
        """Adds a sample; returns an evaluator of it alone."""
        truth = objects_for("instance", sample, self.vocabulary).instances
        check_size(sample, answers[0], truth)
        one = self._evaluator()
        one.update(sample.id, answers[0].segments, truth)
        self.total.merge(one)
        return one

    def pictures(self, sample: Sample, answers: Answers) -> tuple[Segmentation, Segmentation]:
        """Returns the true things, and as many of the best regions, all of one name."""
        objects = objects_for("instance", sample, self.vocabulary).instances
        things = tuple(replace(item, class_id=0) for item in objects)
        truth = as_segmentation(replace(sample, semantic=None, instances=things), THING)
        best = answers[0].segments[: len(truth.segments)]
        return truth, replace(truth, segments=tuple(replace(s, class_id=0) for s in best))


class OpenWorldJudge(RegionJudge):
    """Recall by class and by group of classes, as in LVIS-OW."""

    def count(self, sample: Sample, answers: Answers) -> float:
        """Adds a sample and returns its recall, the mean over the classes in it."""
        one = self._added(sample, answers)
        return one.open_world(limits=ONE_LIMIT, areas=ONE_AREA).average_recall()

    def scores(self) -> Scores:
        """Returns AR; an AP per class would count finds of other classes as errors."""
        return self.total.open_world(limits=LIMITS)


class ClassAgnosticJudge(RegionJudge):
    """AP and recall as if there were one class, and recall of each group of classes."""

    def count(self, sample: Sample, answers: Answers) -> float:
        """Adds a sample and returns its recall."""
        one = self._added(sample, answers)
        return one.class_agnostic(limits=ONE_LIMIT, areas=ONE_AREA).average_recall()

    def scores(self) -> Scores:
        """Returns AR and AP; of groups by both conventions."""
        total, groups = self.total, self.total.groups
        return RegionScores(
            total.class_agnostic(limits=LIMITS),
            {
                name: total.class_agnostic(limits=LIMITS, areas=ONE_AREA, only=ids)
                for name, ids in groups.items()
            },
            {
                name: total.class_agnostic(
                    limits=(*LIMITS, IN_LIST), areas=ONE_AREA, only=ids, others="take out"
                )
                for name, ids in groups.items()
            },
        )
