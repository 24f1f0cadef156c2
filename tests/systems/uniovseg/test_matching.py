"""Matching of points and masks against the authors' criterion, and the order of the two kinds."""

import itertools

import pytest
import torch

from segtune.errors import SegtuneError
from segtune.systems.uniovseg.matching import at_an_eighth, match_by_overlap, match_points
from tests.goldens import close, goldens

COMPONENT = "uniovseg_matching_losses"


def problems(golden):
    """Predictions, annotated masks, points and expected results of every image of a golden."""
    inputs = golden.part("inputs")
    for image in range(golden.config["B"]):
        targets = golden.part(f"inputs.targets.{image}")
        yield image, inputs["pred_masks"][image], targets["masks"].bool(), targets["points_xy"]


@pytest.mark.golden
def test_official_matching():
    for golden in goldens(COMPONENT, "matching"):
        sizes = golden.config
        for image, predictions, masks, points in problems(golden):
            found = match_points(
                at_an_eighth(predictions),
                masks,
                points,
                mask_weight=sizes["mask_w"],
                dice_weight=sizes["dice_w"],
            )
            out = golden.part(f"outputs.match.{image}")
            pairs = zip(out["pred_index"].tolist(), out["target_index"].tolist(), strict=True)
            ours = list(zip(found.slot_ids.tolist(), found.target_ids.tolist(), strict=True))
            expected = list(pairs)
            assert sorted(ours) == sorted(expected)
            order = [ours.index(pair) for pair in expected]
            close(1 - found.dice[order], out["dice_cost"])


@pytest.mark.golden
def test_contained_matching_is_never_dearer():
    """It is the cheapest among the targets that contain a point; the official one need not be."""
    for golden in goldens(COMPONENT, "matching"):
        for _, predictions, masks, points in problems(golden):
            small = at_an_eighth(predictions)
            official = match_points(small, masks, points)
            contained = match_points(small, masks, points, matching="contained")
            assert len(contained.slot_ids) >= len(official.slot_ids)


@pytest.mark.golden
def test_matching_by_overlap():
    for golden in goldens(COMPONENT, "matching"):
        predictions = at_an_eighth(golden["inputs.one2one.pred_masks"][0])
        masks = golden["inputs.targets.0.masks"].bool()
        found = match_by_overlap(predictions, masks, min_iou=golden.config["thres_pos"])
        out = golden.part("outputs.one2one")
        pairs = sorted(zip(found.query_ids.tolist(), found.target_ids.tolist(), strict=True))
        expected = sorted(
            zip(out["pred_index"].tolist(), out["target_index"].tolist(), strict=True)
        )
        assert pairs == expected


def scene(num_points=5, num_slots=3, num_masks=4, seed=0):
    """Boxes as annotated masks, random predictions, and points."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.zeros(num_masks, 64, 64, dtype=torch.bool)
    for mask in masks:
        x, y, w, h = (8 + 40 * torch.rand(4, generator=generator)).int().tolist()
        mask[y : y + h, x : x + w] = True
    logits = 3 * torch.randn(num_points, num_slots, 8, 8, generator=generator)
    return logits, masks, 63.9 * torch.rand(num_points, 2, generator=generator)


def _cheapest(logits, masks, point):
    """The least cost of giving predictions of a point to masks that contain it, by trying all."""
    from segtune.ops.matched.matching import mask_costs

    x, y = point.int().tolist()
    small = torch.nn.functional.interpolate(masks[None].float(), size=(8, 8))[0].flatten(1)
    pixel, dice = mask_costs(logits.flatten(1), small)
    costs = (2 * pixel + dice)[:, masks[:, y, x]]
    slots, targets = costs.shape
    count = min(slots, targets)
    ways = itertools.product(
        itertools.permutations(range(slots), count), itertools.combinations(range(targets), count)
    )
    return min(
        (float(sum(costs[a, b] for a, b in zip(*way, strict=True))) for way in ways), default=0
    )


@pytest.mark.parametrize("seed", range(5))
def test_contained_matching_is_the_cheapest(seed):
    logits, masks, points = scene(seed=seed)
    found = match_points(logits, masks, points, matching="contained")
    from segtune.ops.matched.matching import mask_costs

    small = torch.nn.functional.interpolate(masks[None].float(), size=(8, 8))[0].flatten(1)
    pixel, dice = mask_costs(logits.flatten(0, 1).flatten(1), small)
    costs = (2 * pixel + dice)[found.slot_ids, found.target_ids]
    for point in range(len(points)):
        own = costs[found.slot_ids // 3 == point].sum().item()
        assert own == pytest.approx(_cheapest(logits[point], masks, points[point]), abs=1e-5)


@pytest.mark.parametrize("matching", ["official", "contained"])
def test_the_order_of_annotated_masks_does_not_matter(matching):
    logits, masks, points = scene()
    order = torch.tensor([2, 0, 3, 1])
    one = match_points(logits, masks, points, matching=matching)
    other = match_points(logits, masks[order], points, matching=matching)
    pairs = set(zip(one.slot_ids.tolist(), one.target_ids.tolist(), strict=True))
    shuffled = zip(other.slot_ids.tolist(), order[other.target_ids].tolist(), strict=True)
    assert set(shuffled) == pairs


@pytest.mark.parametrize("matching", ["official", "contained"])
def test_a_point_in_no_mask_has_no_pair(matching):
    logits, masks, points = scene()
    masks[:, 0, 0] = False
    points[2] = 0.5
    found = match_points(logits, masks, points, matching=matching)
    assert 2 not in (found.slot_ids // 3).tolist()
    nothing = match_points(
        logits, torch.zeros(0, 64, 64, dtype=torch.bool), points, matching=matching
    )
    assert len(nothing.slot_ids) == 0


def test_a_mask_may_have_many_points_and_a_point_many_masks():
    masks = torch.zeros(2, 64, 64, dtype=torch.bool)
    masks[0], masks[1, :32] = True, True
    found = match_points(torch.randn(3, 4, 8, 8), masks, torch.tensor([[1.0, 1], [9, 9], [1, 60]]))
    assert found.target_ids.bincount().tolist() == [3, 2]
    assert len(set(found.slot_ids.tolist())) == 5


def test_inputs_that_do_not_fit():
    logits, masks, points = scene()
    with pytest.raises(SegtuneError, match="expected predictions at an eighth"):
        match_points(logits[..., :4], masks, points)
    with pytest.raises(SegtuneError, match="expected official or contained"):
        match_points(logits, masks, points, matching="best")
