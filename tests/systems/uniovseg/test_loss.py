"""Losses of masks against the authors' criterion, with its recorded draws of points."""

import pytest
import torch

from segtune.ops.matched.point_sampling import most_uncertain
from segtune.systems.uniovseg.loss import (
    MaskLossConfig,
    PointSource,
    box_dice,
    pair_losses,
    summed,
)
from segtune.systems.uniovseg.matching import at_an_eighth, match_points
from tests.goldens import close, goldens

from .test_matching import COMPONENT, problems


def drawn(golden, name, logits):
    """The points that the criterion drew for predictions."""
    sizes, draws = golden.config, golden.part(f"inputs.rand.{name}")
    count = int(sizes["importance"] * sizes["num_points"])
    return torch.cat([most_uncertain(logits, draws["oversampled"], count), draws["uniform"]], 1)


def compare(golden, prefix, suffix, losses):
    for name, value in losses._asdict().items():
        close(value, golden[f"outputs.{prefix}.loss_{name}{suffix}"])


@pytest.mark.golden
def test_losses_of_points():
    for golden in goldens(COMPONENT, "matching"):
        matches = [
            match_points(
                at_an_eighth(predictions),
                masks,
                points,
                mask_weight=golden.config["mask_w"],
                dice_weight=golden.config["dice_w"],
            )
            for _, predictions, masks, points in problems(golden)
        ]
        masks = torch.cat(
            [
                masks[match.target_ids]
                for match, (_, _, masks, _) in zip(matches, problems(golden), strict=True)
            ]
        )
        dice = torch.cat([match.dice for match in matches])
        layers = [("main", "", golden.part("inputs"))]
        for index in range(golden.config["aux"]):
            layers.append((f"aux.{index}", f"_{index}", golden.part(f"inputs.aux.{index}")))
        for name, suffix, given in layers:
            chosen = [
                (
                    given["pred_masks"][b].flatten(0, 1)[m.slot_ids],
                    given["pred_ious"][b].flatten()[m.slot_ids],
                )
                for b, m in enumerate(matches)
            ]
            logits, ious = (torch.cat(parts) for parts in zip(*chosen, strict=True))
            found = pair_losses(
                logits,
                ious,
                masks,
                dice,
                points_norm=drawn(golden, name, logits),
                num_pairs=max(len(logits), 1),
            )
            compare(golden, "losses", suffix, found)


@pytest.mark.golden
def test_losses_of_boxes():
    for golden in goldens(COMPONENT, "matching"):
        given, masks = golden.part("inputs.paired"), golden["inputs.targets.0.masks"].bool()
        count = int(given["num_targets"])
        logits, ious = given["pred_masks"][0, :count, 0], given["pred_ious"][0, :count, 0]
        found = pair_losses(
            logits,
            ious,
            masks[:count],
            box_dice(logits, masks[:count]),
            points_norm=drawn(golden, "paired", logits),
            num_pairs=count,
        )
        compare(golden, "losses_paired", "", found)


def test_perfect_masks_cost_nothing():
    masks = torch.rand(3, 32, 32) > 0.5
    masks = masks[:, ::4, ::4].repeat_interleave(4, 1).repeat_interleave(4, 2)
    logits = (masks[:, ::4, ::4].float() - 0.5) * 200
    centres = (torch.rand(3, 40, 2) * 8).floor() / 8 + 1 / 16
    found = pair_losses(
        logits, torch.ones(3), masks, torch.ones(3), points_norm=centres, num_pairs=3
    )
    assert max(found).item() < 1e-6
    torch.testing.assert_close(box_dice(logits, masks), torch.ones(3))


def test_no_pairs_have_a_loss_of_zero_with_gradients():
    logits = torch.randn(4, 8, 8, requires_grad=True)[:0]
    points = PointSource(MaskLossConfig(num_points=10))(logits)
    found = pair_losses(
        logits,
        torch.zeros(0),
        torch.zeros(0, 32, 32),
        torch.zeros(0),
        points_norm=points,
        num_pairs=1,
    )
    total = summed([found, found], MaskLossConfig())
    assert total.keys() == {"masks_0", "masks"}
    assert sum(total.values()).item() == 0
    sum(total.values()).backward()


def test_weights_are_those_of_the_paper():
    config = MaskLossConfig()
    found = pair_losses(
        torch.randn(2, 8, 8),
        torch.tensor([0.1, 0.2]),
        torch.rand(2, 32, 32) > 0.5,
        torch.tensor([0.5, 0.9]),
        points_norm=torch.rand(2, 50, 2),
        num_pairs=2,
    )
    expected = 2 * found.mask + found.dice + found.iou
    torch.testing.assert_close(found.weighted(config), expected)
    torch.testing.assert_close(found.iou, torch.tensor((0.4**2 / 2 + 0.7**2 / 2) / 2))
