"""`segtune.evaluate`: what it takes as data, prompts and system."""

from __future__ import annotations

import pytest

from segtune.data.formats import open_dataset
from segtune.errors import SegtuneError
from segtune.eval.run import evaluate
from segtune.prompts import Prompts

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
