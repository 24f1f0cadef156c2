"""What stage 1 learns, from which pairs, and that it does learn."""

from __future__ import annotations

from dataclasses import replace

import torch

from segtune.data.formats import open_dataset
from segtune.trainers.uniovseg.masks_batches import MaskBatch, MaskBatches
from segtune.trainers.uniovseg.masks_model import MasksTrainee, parameter_groups
from segtune.trainers.uniovseg.masks_run import fresh_model


def trainee_of(recipe):
    return MasksTrainee(fresh_model(recipe), recipe)


def test_gradients_reach_all_but_the_clip(recipe, folder):
    trainee = trainee_of(recipe)
    batch = MaskBatches(open_dataset(folder, split="train"), recipe)(0)
    losses = trainee.losses(batch)
    torch.stack([v for k, v in losses.items() if not k.startswith("_")]).sum().backward()
    assert all(p.grad is None for p in trainee.model.clip.parameters())
    silent = [n for n, p in trainee.learned.named_parameters() if p.grad is None]
    assert silent == []
    assert losses["_box_pairs"] == 2 * recipe.max_masks
    assert not trainee.model.clip.training


def test_points_outside_of_all_masks_and_empty_images_cost_nothing(recipe):
    trainee = trainee_of(recipe)
    masks = torch.zeros(1, 64, 64, dtype=torch.bool)
    masks[0, :8, :8] = True
    points = torch.tensor([[[40.0, 40.0]], [[4.0, 4.0]]])
    ids = torch.stack([torch.full((5,), -1), torch.full((5,), -1)])
    batch = MaskBatch(torch.zeros(2, 3, 64, 64), (masks, masks[:0]), points, ids, 0)
    batch.box_ids[0] = 0
    losses = trainee.losses(batch)
    assert losses["_point_pairs"] == 0
    assert losses["_box_pairs"] == 5
    assert losses["point_mask"] == 0
    assert losses["box_mask"] > 0
    empty = replace(batch, masks=(masks[:0], masks[:0]), box_ids=ids.clamp(max=-1))
    assert all(value == 0 for value in trainee.losses(empty).values())


def test_the_order_of_masks_does_not_matter(recipe, folder):
    trainee = trainee_of(recipe)
    batch = MaskBatches(open_dataset(folder, split="train"), recipe)(0)
    flipped = replace(
        batch,
        masks=tuple(masks.flip(0) for masks in batch.masks),
        box_ids=torch.stack(
            [len(m) - 1 - ids for m, ids in zip(batch.masks, batch.box_ids, strict=True)]
        ),
    )
    one, other = trainee.losses(batch), trainee.losses(flipped)
    assert one["_point_pairs"] == other["_point_pairs"] > 0
    for name in ("point_iou", "box_iou", "box_dice"):
        torch.testing.assert_close(one[name], other[name], rtol=0.02, atol=0.02)


def test_norms_and_embeddings_are_not_decayed(recipe):
    trainee = trainee_of(recipe)
    decayed, free = parameter_groups(trainee.learned, 0.05)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.05, 0.0)
    named = {id(p): n for n, p in trainee.learned.named_parameters()}
    names = {named[id(p)] for p in free["params"]}
    assert {"prompts.corners", "prompts.masks", "masks.level_embeds", "masks.norm.weight"} <= names
    assert not any("mlps" in name for name in names)
    assert len(decayed["params"]) + len(free["params"]) == len(named)


def test_the_loss_falls(recipe, folder):
    recipe = replace(recipe, distort=False, scale=(1.0, 1.0))
    trainee = trainee_of(recipe)
    batch = MaskBatches(open_dataset(folder, split="train"), recipe)(0)
    optimizer = trainee.optimizers()["adamw"]
    totals = []
    for _ in range(25):
        losses = trainee.losses(batch)
        total = torch.stack([v for k, v in losses.items() if not k.startswith("_")]).sum()
        totals.append(total.item())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert totals[-1] < 0.7 * totals[0]
