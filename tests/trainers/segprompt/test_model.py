from dataclasses import replace

import torch

from segtune.data.formats import open_dataset
from segtune.trainers.segprompt.batches import Batches
from segtune.trainers.segprompt.run import make_trainee


def test_a_step_reaches_all_that_is_learned_and_moves_the_cache_after_it(recipe):
    dataset = open_dataset(recipe.data, split="train")
    trainee = make_trainee(recipe, dataset)
    losses = trainee.losses(Batches(dataset, recipe)(0))
    assert {name.split("_")[0] for name in losses} == {"learned", "prompt", "example"}
    torch.stack(list(losses.values())).sum().backward()
    without = [name for name, p in trainee.named_parameters() if p.grad is None]
    assert not without
    assert not trainee.prompts.cache.is_initialised.any()
    trainee.after_step(1)
    assert trainee.prompts.cache.is_initialised.any()
    counts = trainee.prompts.cache.counts.clone()
    trainee.after_step(2)
    assert torch.equal(trainee.prompts.cache.counts, counts)


def test_a_frozen_encoder_gets_no_gradient_and_stays_in_evaluation(recipe):
    dataset = open_dataset(recipe.data, split="train")
    trainee = make_trainee(replace(recipe, freeze_encoder=True), dataset)
    assert not trainee.model.image_encoder.training
    assert trainee.model.decoder.training
    torch.stack(list(trainee.losses(Batches(dataset, recipe)(0)).values())).sum().backward()
    assert all(p.grad is None for p in trainee.model.image_encoder.parameters())


def test_norms_and_embeddings_are_not_decayed_and_the_encoder_has_its_rate(recipe):
    trainee = make_trainee(recipe, open_dataset(recipe.data, split="train"))
    names = {id(p): name for name, p in trainee.named_parameters()}
    optimizer = trainee.optimizers()["adamw"]
    seen = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            seen[names[id(parameter)]] = (group["lr"], group["weight_decay"])
    assert seen.keys() == set(names.values())
    assert seen["model.decoder.query_content"] == (recipe.lr, 0.0)
    assert seen["prompts.class_content.weight"] == (recipe.lr, 0.0)
    assert seen["model.decoder.norm.weight"] == (recipe.lr, 0.0)
    assert seen["model.decoder.mask_mlp.0.weight"] == (recipe.lr, recipe.weight_decay)
    rates = {rate for name, (rate, _) in seen.items() if "image_encoder" in name}
    assert rates == {recipe.lr * recipe.encoder_lr}
