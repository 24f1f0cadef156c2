"""Scored things of a data set."""

from __future__ import annotations

from dataclasses import replace

import pytest

from segtune.errors import DataError, SegtuneError
from segtune.eval.instances.evaluator import InstanceEvaluator
from segtune.eval.judging import ScoredModel, judge
from segtune.types import Segmentation, Vocabulary
from tests.eval.worlds import SCENES, all_but_one, truth_of

WORDS = SCENES.vocabulary


def test_scores_equal_one_evaluator() -> None:
    model = all_but_one("instance")
    result = judge("instance", model, SCENES)
    whole = InstanceEvaluator(WORDS)
    for sample in (SCENES[i] for i in range(len(SCENES))):
        whole.update(sample.id, model.in_words(sample).segments, sample.instances)
    assert result.task == "instance"
    assert result.scores.summary() == pytest.approx(whole.result().summary(), nan_ok=True)
    assert 0 < result.scores.summary()["AP"] < 1
    assert result.image_scores["base-val-00000"] == pytest.approx(1)
    assert 0 <= result.image_scores["base-val-00001"] < 1


def test_pictures_show_as_many_answers_as_things() -> None:
    def twice(sample):
        truth = truth_of("instance", sample)
        weak = tuple(replace(segment, score=0.1) for segment in truth.segments)
        return replace(truth, segments=weak + truth.segments)

    for example in judge("instance", ScoredModel(in_words=twice), SCENES, examples=2).examples:
        assert len(example.prediction.segments) == len(example.truth.segments)
        assert {segment.score for segment in example.prediction.segments} == {1.0}


def test_answers_of_another_kind() -> None:
    small = ScoredModel(in_words=lambda sample: Segmentation((4, 4), WORDS))
    with pytest.raises(DataError, match="is 4x4 but its masks are 80x64"):
        judge("instance", small, SCENES)
    other = Vocabulary.of("a")
    model = ScoredModel(
        in_words=lambda sample: replace(truth_of("instance", sample), vocabulary=other)
    )
    with pytest.raises(SegtuneError, match=r"has 390 classes but the answer for .* has 1 classes"):
        judge("instance", model, SCENES)
