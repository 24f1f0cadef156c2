"""What stage 2 learns."""

from __future__ import annotations

import torch

from segtune.data.formats import open_dataset
from segtune.trainers.uniovseg.captions_model import CaptionBatches, CaptionsTrainee
from segtune.trainers.uniovseg.captions_pairs import PairFinder
from segtune.trainers.uniovseg.captions_run import fresh_system
from segtune.vocabulary.nouns.registry import make_extractor


def trainee_of(recipe):
    system = fresh_system(recipe)
    return CaptionsTrainee(system, PairFinder(system, make_extractor("rules"), recipe), recipe)


def test_the_loss_falls_and_only_the_adapter_learns(captions_recipe, captions):
    trainee = trainee_of(captions_recipe)
    batch = CaptionBatches(open_dataset(captions, split=None), captions_recipe)(0)
    optimizer = trainee.optimizers()["adamw"]
    values = []
    for _ in range(20):
        losses = trainee.losses(batch)
        values.append(losses["align"].item())
        optimizer.zero_grad()
        losses["align"].backward()
        optimizer.step()
    assert values[-1] < values[0] - 0.05
    assert losses["_pairs"] == losses["_entities"] == 6
    assert all(p.grad is None for p in trainee.system.backbone.parameters())
    own = sum(p.numel() for p in trainee.parameters())
    assert own == trainee.system.num_learned()


def test_pairs_do_not_change_while_the_adapter_learns(captions_recipe, captions):
    trainee = trainee_of(captions_recipe)
    batch = CaptionBatches(open_dataset(captions, split=None), captions_recipe)(0)
    before = trainee.losses(batch)["align"]
    fresh = trainee_of(captions_recipe)
    assert torch.equal(trainee.losses(batch)["align"], before)  # from the pairs that are kept
    assert torch.equal(fresh.losses(batch)["align"], before)  # found again


def test_every_image_once_per_pass(captions_recipe, captions):
    batches = CaptionBatches(open_dataset(captions, split=None), captions_recipe)
    picks = [index for step in range(5) for index in batches(step).indices]
    assert sorted(picks[:5]) == sorted(picks[5:]) == list(range(5))
