"""Fits for instances and panoptic segments: which masks the views carry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from segtune.backbones.seem.model import random_seem
from segtune.data.samples import Subset
from segtune.data.synthetic import SyntheticDataset
from segtune.errors import DataError
from segtune.fewshot.fit import FitConfig, fit
from segtune.fewshot.views import ViewConfig, Views
from segtune.predict.segmenter import Segmenter
from segtune.prompts import Prompts
from segtune.train.config import LoopConfig
from segtune.types import IGNORE, Instance, Resolution
from tests.conftest import LetterTokenizer

DATA = SyntheticDataset("jargon", "train", size=(64, 80), length=3)
WHOLE = ViewConfig(64, None, (1.0, 1.0), flip=False, distort=False)
CONFIG = FitConfig(
    loop=LoopConfig(steps=2, lr=1e-2, warmup=0),
    batch=2,
    views=1,
    short_side=64,
    scale=(1.0, 1.0),
    distort=False,
)


@pytest.fixture
def model() -> Segmenter:
    seem = random_seem()
    seem.tokenizer = LetterTokenizer()
    return Segmenter(seem, templates="name", resolution=Resolution(64, None, 64))


class Changed(Subset):
    """Samples with some fields replaced."""

    def __init__(self, **changes: object) -> None:
        super().__init__(DATA, range(len(DATA)))
        self.changes = changes

    def __getitem__(self, index: int):
        return replace(super().__getitem__(index), **self.changes)


def kinds_of(view) -> set[str]:
    return {DATA.vocabulary.concepts[i].kind for i in view.masks.class_ids.tolist()}


def test_masks_of_every_task():
    sample = DATA[0]
    things = len(sample.instances)
    stuff = {i for i in np.unique(sample.semantic) if DATA.vocabulary.concepts[i].kind == "stuff"}
    views = {
        task: Views(DATA, WHOLE, seed=0, task=task).view(0, 0)
        for task in ("semantic", "instance", "panoptic")
    }
    assert len(views["instance"].masks) == len(views["semantic"].masks) == things
    assert kinds_of(views["instance"]) == {"thing"}
    panoptic = views["panoptic"].masks
    assert len(panoptic) == things + len(stuff)
    assert (panoptic.masks.sum(0) == 1).all()  # every pixel belongs to one of them
    for class_id, mask in zip(panoptic.class_ids.tolist(), panoptic.masks, strict=True):
        assert (views["panoptic"].labels[mask] == class_id).all()


def test_stuff_regions_of_the_data_are_not_doubled():
    listed = SyntheticDataset("jargon", "train", size=(64, 80), length=3, stuff_regions=True)
    given = Views(listed, WHOLE, seed=0, task="panoptic").view(1, 0).masks
    derived = Views(DATA, WHOLE, seed=0, task="panoptic").view(1, 0).masks
    assert given.class_ids.tolist() == derived.class_ids.tolist()
    assert (given.masks == derived.masks).all()
    assert kinds_of(Views(listed, WHOLE, seed=0, task="instance").view(1, 0)) == {"thing"}


def test_instances_need_no_label_map_and_nameless_ones_are_left_out():
    mask = DATA[0].instances[0].mask
    data = Changed(semantic=None, instances=(Instance(3, mask), Instance(IGNORE, mask)))
    view = Views(data, WHOLE, seed=0, task="instance").view(0, 0)
    assert view.masks.class_ids.tolist() == [3]
    assert (view.labels == IGNORE).all()
    with pytest.raises(DataError, match="has no label map"):
        Views(data, WHOLE, seed=0).view(0, 0)


@pytest.mark.parametrize("task", ["instance", "panoptic"])
@pytest.mark.parametrize("views", [1, 0])
def test_a_fit_by_task(model, tmp_path, task, views):
    out = tmp_path / "p.safetensors"
    config = replace(CONFIG, views=views)
    prompts = fit(
        model, DATA, system="ssprompt", options={"task": task}, shots=2, config=config, out=out
    )
    assert prompts.options["task"] == task
    assert "loss_class" in (tmp_path / "p.safetensors.log.jsonl").read_text()
    loaded = Prompts.load(out)
    result = model.segment(DATA[0], prompts=loaded, task=task, min_score=0.0)
    assert result.size == (64, 80)


def test_a_fit_by_task_needs_instances(model):
    with pytest.raises(DataError, match="has no instance masks, which task panoptic needs"):
        fit(
            model,
            Changed(instances=()),
            system="ssprompt",
            options={"task": "panoptic"},
            shots=2,
            config=CONFIG,
        )
