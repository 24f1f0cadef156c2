"""A model evaluated by task."""

from __future__ import annotations

import pytest

from segtune.backbones.seem.model import random_seem
from segtune.data.synthetic import SyntheticDataset
from segtune.errors import SegtuneError
from segtune.eval.judges import JUDGES
from segtune.eval.run import evaluate
from segtune.predict.segmenter import Segmenter
from segtune.types import Resolution
from tests.conftest import LetterTokenizer


@pytest.fixture(scope="module")
def model() -> Segmenter:
    seem = random_seem()
    seem.tokenizer = LetterTokenizer()
    return Segmenter(seem, templates="name", resolution=Resolution(64, None, 64))


@pytest.mark.parametrize("task", JUDGES)
def test_a_model_is_evaluated_by_task(model, task):
    data = SyntheticDataset("jargon", "val", size=(64, 80), length=2)
    result = evaluate(model, data, task=task, examples=1)
    assert result.task == task
    assert set(JUDGES[task].headline) - {"mIoU(S)", "mIoU(U)", "hIoU"} <= set(
        result.scores.summary()
    )
    assert len(result.examples) == 1
    assert (result.confusion is not None) == (task == "semantic")
    assert "random-seem" in result.protocol.weights
    assert ("system" in result.protocol.extra) == JUDGES[task].takes_prompts


def test_a_model_that_scores_pixels_has_instances_too(tiny_model):
    data = SyntheticDataset("jargon", "val", size=(64, 80), length=1)
    for task in ("instance", "panoptic", "open-world", "class-agnostic"):
        result = evaluate(tiny_model, data, task=task, min_score=0.5, examples=0)
        assert result.protocol.extra["min_score"] == 0.5
    with pytest.raises(SegtuneError, match="takes no points or boxes"):
        evaluate(tiny_model, data, task="promptable")


def test_clicks_know_no_prompts(model):
    data = SyntheticDataset("jargon", "val", size=(64, 80), length=1)
    with pytest.raises(SegtuneError, match="answered by the frozen model alone"):
        evaluate(model, data, task="promptable", system=model.system_for(None))


def test_an_unknown_task(model):
    data = SyntheticDataset("jargon", "val", size=(64, 80), length=1)
    with pytest.raises(SegtuneError, match="'openworld' is not a task; did you mean open-world"):
        evaluate(model, data, task="openworld")
