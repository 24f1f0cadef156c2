"""A model evaluated by task."""

from __future__ import annotations

import pytest

from segtune.backbones.seem.model import random_seem
from segtune.data.formats import open_dataset
from segtune.data.synthetic import SyntheticDataset
from segtune.errors import SegtuneError
from segtune.eval.judges import JUDGES
from segtune.eval.run import evaluate
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts
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


DATA = "synthetic:jargon?size=64&length=2"


def summary(result):
    return result.scores.summary()


def test_data_may_be_named(tiny_model):
    dataset = open_dataset(DATA, split="val")
    named, given = (evaluate(tiny_model, data, examples=0) for data in (DATA, dataset))
    assert named.protocol == given.protocol
    assert named.protocol.split == "val"
    assert summary(named) == pytest.approx(summary(given), nan_ok=True)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        evaluate(tiny_model, "no/such/folder")


def test_a_system_may_be_named(tiny_model):
    plain = evaluate(tiny_model, DATA, examples=0)
    named = evaluate(tiny_model, DATA, system="dense-clip", examples=0)
    assert named.protocol == plain.protocol
    other = evaluate(tiny_model, DATA, system="lpm", examples=0)
    assert other.protocol.extra["system"] == "lpm"
    with pytest.raises(SegtuneError, match="nonsense"):
        evaluate(tiny_model, DATA, system="nonsense")


def test_prompts_may_be_a_file(tiny_model, tmp_path):
    system, dataset = tiny_model.system_for(system="vpt"), open_dataset(DATA, split="val")
    prompts = Prompts(
        system="vpt",
        options=system.config_values(),
        model=tiny_model.backbone.name,
        fingerprint=tiny_model.backbone.fingerprint,
        tensors=system.learned(),
        vocabulary=dataset.vocabulary,
        templates=tiny_model.templates,
        resolution=tiny_model.resolution,
    )
    path = prompts.save(tmp_path / "a.safetensors")
    found = [evaluate(tiny_model, dataset, prompts=given, examples=0) for given in (prompts, path)]
    assert found[0].protocol == found[1].protocol
    assert summary(found[0]) == pytest.approx(summary(found[1]), nan_ok=True)
    assert found[0].protocol.extra["system"] == "vpt"
    with pytest.raises(SegtuneError, match="bring their system"):
        evaluate(tiny_model, dataset, prompts=path, system="rpn")


def test_an_image_is_looked_at_once_for_clicks_and_boxes(monkeypatch):
    from segtune.backbones.seem.model import random_seem
    from segtune.predict.segmenter import Segmenter
    from segtune.types import Resolution

    model = Segmenter(random_seem(), resolution=Resolution(64, None, 64))
    calls = []
    real = model.backbone.features
    monkeypatch.setattr(model.backbone, "features", lambda x: calls.append(0) or real(x))
    data = open_dataset("synthetic:jargon?size=64&length=2", split="val")
    evaluate(model, data, task="promptable", examples=0)
    assert len(calls) == len(data)
