"""Scored things where only some classes were looked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from segtune.eval.judging import ScoredModel, judge
from segtune.types import Sample, Segmentation, Vocabulary
from tests.eval.judges.test_regions import Places, mask_at, region

WORDS = Vocabulary.of("car", "cat", "cow")


class Listed(Places):
    """A car beside two places that may be anything, with lists of classes."""

    vocabulary = WORDS

    def __init__(self, **lists: tuple[int, ...] | None) -> None:
        super().__init__(vocabulary=WORDS)
        self.lists = lists

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        return replace(sample, instances=sample.instances[:1], **self.lists)


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({}, 0.5),  # all classes were looked for; the better car finds nothing
        ({"absent_ids": ()}, 0.5),
        ({"absent_ids": (), "not_exhaustive_ids": (0,)}, 1.0),
    ],
)
def test_lists_of_the_sample_decide(lists, expected) -> None:
    segments = (region(1, 0, 0.9), region(0, 0, 0.5), region(2, 1, 0.95))

    def answer(sample: Sample) -> Segmentation:
        return Segmentation(mask_at(0).shape, WORDS, segments=segments)

    result = judge("federated", ScoredModel(in_words=answer), Listed(**lists))
    assert result.scores.summary()["AP"] == pytest.approx(expected)
    assert "AR@300" in result.scores.summary()
    assert result.image_scores["a"] == pytest.approx(expected)
