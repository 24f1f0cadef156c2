"""Held-out shots decide how fast a fit learns, and whether it learns at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from segtune.data.synthetic.dataset import SyntheticDataset
from segtune.errors import SegtuneError
from segtune.fewshot import trials as trials_module
from segtune.fewshot.fit import FitConfig, fit
from segtune.fewshot.trials import Trials
from segtune.predict.segmenter import Segmenter
from segtune.train.config import LoopConfig
from segtune.types import Resolution
from tests.conftest import LetterTokenizer

LOOP = LoopConfig(steps=4, lr=0.05, warmup=0, optimizer="sgd")
CONFIG = FitConfig(loop=LOOP, batch=2, views=1, scale=(1.0, 1.0), distort=False)


@pytest.fixture
def model() -> Segmenter:
    from segtune.backbones.seem.model import random_seem

    seem = random_seem()
    seem.tokenizer = LetterTokenizer()
    return Segmenter(seem, templates="name", resolution=Resolution(64, None, 64))


@pytest.fixture
def data() -> SyntheticDataset:
    return SyntheticDataset("jargon", "train", size=(64, 64), length=6)


def test_a_ruinous_rate_gives_the_unfitted_model_back(model, data):
    """No candidate beats the start where every step throws the embeddings far away."""
    ruin = replace(CONFIG, rate_factors=(1e4,))
    prompts = fit(model, data, shots=4, config=ruin, options={"semantic_loss": "score"})
    trials = prompts.training["trials"]
    unfitted, fitted = (row["score"] for row in trials["scores"])
    assert fitted <= unfitted
    assert trials["best"] == [0.0, 0.0]
    sample = data[5]
    plain = model.segment(sample, data.vocabulary)
    assert (model.segment(sample, prompts=prompts).semantic == plain.semantic).all()


def test_the_best_candidate_is_fitted_to_all_shots(model, data, monkeypatch):
    given = {}
    plain = trials_module.cross_validate

    def watch(system, batches, loop, candidates, **others):
        found = plain(system, batches, loop, candidates, **others)
        given["candidates"], given["loop"] = candidates, loop
        scores = dict.fromkeys(found.scores, 0.0) | {(1.0, 0.5): 1.0}
        return Trials(scores, found.folds)

    monkeypatch.setattr("segtune.fewshot.fit.cross_validate", watch)
    tried = replace(CONFIG, rate_factors=(1.0, (1.0, 0.5)), trial_steps=2)
    chosen = fit(model, data, shots=4, config=tried)
    assert given["candidates"] == [(1.0, 1.0), (1.0, 0.5)]
    assert given["loop"].steps == 2
    options = {"semantic_lr_factor": 0.5}
    direct = fit(model, data, shots=4, config=CONFIG, options=options)
    for name, tensor in direct.tensors.items():
        assert torch.equal(tensor, chosen.tensors[name])
    assert direct.training["trials"] is None


def test_held_out_images_are_never_fitted(model, data, monkeypatch):
    fitted, scored = [], []
    draw, whole = trials_module.Batches.draw, trials_module.Batches.whole
    monkeypatch.setattr(
        trials_module.Batches,
        "draw",
        lambda self, step, images, *rest: (
            fitted.append(set(images)),
            draw(self, step, images, *rest),
        )[1],
    )
    monkeypatch.setattr(
        trials_module.Batches,
        "whole",
        lambda self, images: (scored.append((len(fitted), *images)), whole(self, images))[1],
    )
    fit(model, data, shots=4, config=replace(CONFIG, rate_factors=(1.0,)))
    assert sorted(image for _, image in scored[:4]) == [0, 1, 2, 3]  # the unfitted model
    assert sorted(image for _, image in scored[4:]) == [0, 1, 2, 3]
    for after, image in scored[4:]:
        assert image not in fitted[after - 1]
        assert len(fitted[after - 1]) == 2
    assert fitted[-1] == {0, 1, 2, 3}  # the fit itself


@pytest.mark.parametrize("task", ["instance", "panoptic"])
def test_other_tasks_compare_losses(model, data, task):
    config = replace(CONFIG, rate_factors=(1e-3,))
    prompts = fit(model, data, shots=4, config=config, options={"task": task})
    assert all(row["score"] < 0 for row in prompts.training["trials"]["scores"])


def test_one_image_cannot_be_divided(model, data):
    prompts = fit(model, data, shots=1, config=replace(CONFIG, rate_factors=(1.0,)))
    assert prompts.training["trials"] is None


@pytest.mark.parametrize("wrong", [{"folds": 1}, {"views": 0}])
def test_held_out_shots_need_folds_and_stored_views(wrong):
    with pytest.raises(SegtuneError, match="rate_factors"):
        replace(CONFIG, rate_factors=(1.0,), **wrong)


def test_equal_scores_keep_the_unfitted_model():
    trials = Trials({(0.0,): 0.5, (1.0,): 0.5}, folds=2)
    assert trials.is_unfitted
    assert trials.values()["best"] == [0.0]
