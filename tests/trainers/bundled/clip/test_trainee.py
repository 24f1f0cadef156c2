"""What the bundled CLIP learns by: its losses, who moves what, and the range of its scale."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import CLIPModel, CLIPTokenizer

from segtune.trainers.bundled.clip.batch import make_batch
from segtune.trainers.bundled.clip.pool import open_pool
from segtune.trainers.bundled.clip.recipe import ClipRecipe
from segtune.trainers.bundled.clip.trainee import ClipTrainee


def test_muon_takes_the_matrices_of_the_layers(
    tiny_clip: CLIPModel, tiny_tokenizer: CLIPTokenizer, tiny_recipe: ClipRecipe
) -> None:
    optimizers = ClipTrainee(tiny_clip, tiny_tokenizer, tiny_recipe).optimizers()
    names = {id(p): name for name, p in tiny_clip.named_parameters()}
    taken = {
        kind: {names[id(p)] for group in optimizer.param_groups for p in group["params"]}
        for kind, optimizer in optimizers.items()
    }
    assert "vision_model.encoder.layers.0.mlp.fc1.weight" in taken["muon"]
    assert not any("embedding" in name or "projection" in name for name in taken["muon"])
    assert {"logit_scale", "visual_projection.weight"} <= taken["adamw"]
    assert not taken["muon"] & taken["adamw"]
    assert len(taken["muon"]) + len(taken["adamw"]) == len(names)


def test_losses_are_weighted_terms(
    tiny_clip: CLIPModel, tiny_tokenizer: CLIPTokenizer, tiny_recipe: ClipRecipe, tiny_cache: Path
) -> None:
    weights = {"partial_weight": 0.5, "patch_weight": 3.0, "scene_weight": 0.25}
    recipe = replace(tiny_recipe, **weights)  # type: ignore[arg-type]
    trainee = ClipTrainee(tiny_clip, tiny_tokenizer, recipe)
    batch = make_batch(open_pool(recipe, tiny_cache), recipe, 0)
    terms, losses = trainee.terms(batch), trainee.losses(batch)
    factors = {"crop": 1, "crop_partial": 0.5, "patch": 3, "patch_partial": 1.5, "scene": 0.25}
    for name, factor in factors.items():
        assert losses[name].item() == pytest.approx(factor * terms[name].item(), rel=1e-5)
    assert set(losses) == {*factors, "_logit_scale"}


def test_the_logit_scale_stays_in_its_range(
    tiny_clip: CLIPModel, tiny_tokenizer: CLIPTokenizer, tiny_recipe: ClipRecipe
) -> None:
    trainee = ClipTrainee(tiny_clip, tiny_tokenizer, tiny_recipe)
    before = tiny_clip.logit_scale.detach().clone()
    for value, expected in ((9.0, math.log(100)), (-1.0, 0.0), (2.0, 2.0)):
        tiny_clip.logit_scale.data.fill_(value)
        trainee.after_step(1)
        assert tiny_clip.logit_scale.item() == pytest.approx(expected)
    tiny_clip.logit_scale.data.copy_(before)
    assert isinstance(trainee.state()["model"], torch.nn.Module)
