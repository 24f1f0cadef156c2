"""Segments of things and stuff of a data set."""

from __future__ import annotations

from dataclasses import replace

import pytest

from segtune.data.synthetic import SyntheticDataset
from segtune.errors import SegtuneError
from segtune.eval.judging import ScoredModel, judge
from segtune.eval.panoptic import PanopticEvaluator
from segtune.types import Segmentation, Vocabulary
from tests.eval.worlds import SCENES, all_but_one, truth_of

WORDS = SCENES.vocabulary


def test_stuff_is_taken_from_the_semantic_map() -> None:
    model = all_but_one("panoptic")
    result = judge("panoptic", model, SCENES)
    listed = SyntheticDataset("base", "val", size=(64, 80), length=5, stuff_regions=True)
    whole = PanopticEvaluator(WORDS)
    for i in range(5):
        whole.update_from(model.in_words(SCENES[i]), listed[i])
    assert result.scores.summary() == pytest.approx(whole.result().summary(), nan_ok=True)
    assert result.scores.summary()["PQst"] == 1
    assert 0 < result.scores.summary()["PQth"] < 1


def test_answers_of_another_kind() -> None:
    small = ScoredModel(in_words=lambda sample: Segmentation((4, 4), WORDS))
    with pytest.raises(SegtuneError, match="is 4x4 but its truth is 80x64"):
        judge("panoptic", small, SCENES)
    other = Vocabulary.of("a")
    model = ScoredModel(
        in_words=lambda sample: replace(truth_of("panoptic", sample), vocabulary=other)
    )
    with pytest.raises(SegtuneError, match=r"has 390 classes but the answer for .* has 1 classes"):
        judge("panoptic", model, SCENES)
