from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from segtune.ops.mask_targets import MaskTargets
from segtune.ops.matched.mask_readers import LossPoints
from segtune.ops.matched.matching import Match
from segtune.ops.set_loss import SetLossConfig, SetPrediction
from segtune.systems.segprompt.config import SegPromptConfig
from segtune.systems.segprompt.loss import (
    example_losses,
    global_label_loss,
    learned_losses,
    prompt_labels,
    prompt_losses,
)
from segtune.systems.segprompt.targets import TrainingTargets
from tests.goldens import Golden, close, goldens
from tests.systems.segprompt.test_model import config_of

COMPONENTS = ["segprompt_losses_single", "segprompt_losses_repeat"]
KINDS = {"loss_class": "loss_ce", "loss_mask": "loss_mask", "loss_dice": "loss_dice"}


def set_config_of(sizes: dict) -> SetLossConfig:
    """Returns the weights and points in the `config.json` of a golden."""
    weights = sizes["weights"]
    return SetLossConfig(
        weights["cls"],
        weights["mask"],
        weights["dice"],
        sizes["no_object_weight"],
        num_points=sizes["num_points"],
        oversample=sizes.get("oversample_ratio", 3.0),
        importance=sizes.get("importance_ratio", 0.75),
    )


def targets_of(golden: Golden) -> TrainingTargets:
    """Returns the targets of the three branches of a golden of losses."""
    images = range(golden.config["batch"])
    objects = [
        MaskTargets(golden[f"in.target_labels.{b}"], golden[f"in.target_masks.{b}"]) for b in images
    ]
    counts = [int(golden[f"in.example_count.{b}"]) for b in images]
    examples = [
        MaskTargets(x.class_ids[:count], x.masks[:count])
        for x, count in zip(objects, counts, strict=True)
    ]
    nothing = torch.zeros(0)
    return TrainingTargets(
        objects,
        objects,
        golden["in.candidate_ids"],
        golden["in.candidate_is_negative"].bool(),
        golden["in.mask_supervised"],
        examples,
        nothing,
        nothing,
    )


def heads_of(golden: Golden, branch: str) -> list[SetPrediction]:
    return [
        SetPrediction(logits.clone().requires_grad_(), masks.clone().requires_grad_())
        for logits, masks in zip(
            golden[f"in.{branch}_logits"], golden[f"in.{branch}_masks"], strict=True
        )
    ]


def points_of(golden: Golden, branch: str) -> list[LossPoints]:
    found = []
    for name in (*map(str, range(golden.config["num_predictions"] - 1)), "final"):
        draws = golden.part(f"rand.{branch}.{name}")
        matching = [draws[key] for key in sorted(draws) if key.startswith("matcher")]
        coords = golden.tensors.get(f"out.{branch}.{name}.point_coords", torch.zeros(0, 1, 2))
        found.append(LossPoints(torch.cat(matching) if matching else coords, coords))
    return found


@pytest.mark.golden
@pytest.mark.parametrize("branch", ["agnostic", "prompt", "example"])
@pytest.mark.parametrize("component", COMPONENTS)
def test_losses_and_gradients_of_a_branch_are_the_official_ones(component, branch):
    for golden in goldens(component):
        sizes, out = golden.config, golden.part(f"out.{branch}")
        config, weights = config_of(sizes), set_config_of(sizes)
        heads, points, targets = (
            heads_of(golden, branch),
            points_of(golden, branch),
            targets_of(golden),
        )
        if branch == "agnostic":
            losses = learned_losses(heads, targets.learned, config, weights, points=points)
        else:
            losses_of = prompt_losses if branch == "prompt" else example_losses
            losses = losses_of(heads, targets, config, weights, points=points)
        assert len(losses) == 3 * len(heads)
        mark = "2" if branch == "prompt" and "loss_ce2" in out else ""
        factors = (weights.class_weight, weights.mask_weight, weights.dice_weight)
        for suffix in ("", *(f"_{step}" for step in range(len(heads) - 1))):
            for (ours, theirs), factor in zip(KINDS.items(), factors, strict=True):
                close(losses[ours + suffix] / factor, out[theirs + mark + suffix].squeeze())
        total = torch.stack(list(losses.values())).sum()
        close(total, out["weighted_total"].squeeze())
        total.backward()
        for step in (0, len(heads) - 1):
            close(heads[step].class_logits.grad, out[f"grad_logits.{step}"])
            close(heads[step].mask_logits.grad, out[f"grad_masks.{step}"])


# -- hand-made ----------------------------------------------------------------------------------

DENSE = SetLossConfig(dense=True)


def prompt_targets(
    labels: list[int], ids: list[int], absent: list[bool], has_masks: list[bool]
) -> TrainingTargets:
    generator = torch.Generator().manual_seed(2)
    masks = torch.rand(len(labels), 8, 8, generator=generator) > 0.5
    objects = [MaskTargets(torch.tensor(labels), masks)]
    rows = (torch.tensor(x)[None] for x in (ids, absent, has_masks))
    return TrainingTargets(objects, objects, *rows, objects, torch.zeros(0), torch.zeros(0))


def random_heads(queries: int, labels: int = 1) -> list[SetPrediction]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(1, queries, labels + 1, generator=generator)
    masks = torch.randn(1, queries, 4, 4, generator=generator)
    return [SetPrediction(logits.requires_grad_(), masks.requires_grad_())]


def labels_of(targets: TrainingTargets, **options) -> list[int]:
    """Returns the labels where the first query is matched."""
    config = SegPromptConfig(num_prompts=6, repeat=2, **options)
    match = [Match(torch.tensor([0]), torch.tensor([0]))]
    return prompt_labels(match, targets, config, no_object=9)[0].tolist()


def test_labels_of_prompts_in_every_mode():
    targets = prompt_targets(
        [4], [4, 4, 5, 5, 6, 6], [False] * 4 + [True] * 2, [True] * 2 + [False] * 4
    )
    assert labels_of(targets) == [0, 9, 0, 0, 9, 9]
    assert labels_of(targets, only_matched=False) == [0, 0, 0, 0, 9, 9]
    assert labels_of(targets, binary=False) == [4, 9, 5, 5, 9, 9]


def test_objects_that_no_query_asks_for_change_nothing():
    config = SegPromptConfig(num_prompts=4, repeat=2)
    arguments = ([4, 4, 5, 5], [False] * 4, [True] * 4)
    more = prompt_targets([4, 5, 7], *arguments)
    objects = more.prompts[0]
    fewer = replace(more, prompts=[MaskTargets(objects.class_ids[:2], objects.masks[:2])])
    heads = random_heads(4)
    losses = [prompt_losses(heads, targets, config, DENSE) for targets in (more, fewer)]
    assert all(torch.equal(losses[0][name], losses[1][name]) for name in losses[0])


def test_without_masks_to_learn_mask_losses_are_zero_with_a_graph():
    config = SegPromptConfig(num_prompts=4, repeat=2)
    targets = prompt_targets([4], [4, 4, 5, 5], [False] * 2 + [True] * 2, [False] * 4)
    heads = random_heads(4)
    losses = prompt_losses(heads, targets, config, DENSE)
    assert losses["loss_mask"] == 0 == losses["loss_dice"]
    (losses["loss_mask"] + losses["loss_dice"]).backward()
    assert heads[0].mask_logits.grad.eq(0).all()


def test_weights_of_the_prompt_branch():
    targets = prompt_targets([4], [4, 4, 5, 5], [False] * 2 + [True] * 2, [True] * 2 + [False] * 2)
    heads = random_heads(4)
    one = prompt_losses(heads, targets, SegPromptConfig(num_prompts=4, repeat=2), DENSE)
    config = SegPromptConfig(num_prompts=4, repeat=2, prompt_weights=(2.0, 3.0, 0.0))
    other = prompt_losses(heads, targets, config, DENSE)
    for name, factor in (("loss_class", 2), ("loss_mask", 3), ("loss_dice", 0)):
        torch.testing.assert_close(other[name], factor * one[name])


def test_cross_entropy_is_the_weighted_mean_of_torch():
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0, 3, 3], [3, 3, 3]])
    weights: Tensor = torch.tensor([1, 1, 1, 0.1])
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), weights)
    torch.testing.assert_close(global_label_loss(logits, labels, no_object_weight=0.1), expected)
    only = torch.full((2, 3), 3)  # weights that add up to less than 1
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), only.flatten(), weights)
    torch.testing.assert_close(global_label_loss(logits, only, no_object_weight=0.1), expected)
