from __future__ import annotations

from itertools import permutations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from segtune.ops.matched.matching import assign, mask_costs, match, match_costs


def _problem(num_queries: int, num_targets: int, *, seed: int = 0) -> tuple[Tensor, ...]:
    """Class logits, mask logits at 30 points, class ids and masks of one image with 4 classes."""
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(num_queries, 5, generator=generator),
        3 * torch.randn(num_queries, 30, generator=generator),
        torch.randint(0, 4, (num_targets,), generator=generator),
        torch.rand(num_targets, 30, generator=generator) > 0.6,
    )


def test_costs_are_those_of_the_slow_version() -> None:
    class_logits, mask_logits, class_ids, masks = _problem(6, 3)
    costs = match_costs(
        class_logits, mask_logits, class_ids, masks, class_weight=2, mask_weight=3, dice_weight=7
    )
    for q in range(6):
        for n in range(3):
            target, probs = masks[n].float(), mask_logits[q].sigmoid()
            bce = F.binary_cross_entropy_with_logits(mask_logits[q], target)
            dice = 1 - (2 * (probs * target).sum() + 1) / (probs.sum() + target.sum() + 1)
            expected = -2 * class_logits[q].softmax(0)[class_ids[n]] + 3 * bce + 7 * dice
            torch.testing.assert_close(costs[q, n], expected)


def test_soft_masks_and_half_precision() -> None:
    _, mask_logits, _, _ = _problem(6, 3)
    masks = torch.rand(3, 30)
    bce, _ = mask_costs(mask_logits, masks)
    expected = F.binary_cross_entropy_with_logits(
        mask_logits[:, None].expand(-1, 3, -1), masks.expand(6, -1, -1), reduction="none"
    ).mean(2)
    torch.testing.assert_close(bce, expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(mask_costs(mask_logits, masks)[0], bce)
    assert mask_costs(mask_logits.half(), masks)[0].dtype == torch.float32


def test_focal_costs_are_those_of_the_slow_version() -> None:
    class_logits, mask_logits, class_ids, _ = _problem(4, 3)
    masks = torch.rand(3, 30)
    focal, dice = mask_costs(mask_logits, masks, focal=True)
    assert torch.equal(dice, mask_costs(mask_logits, masks)[1])
    for q in range(4):
        for n in range(3):
            p, t = mask_logits[q].sigmoid(), masks[n]
            wanted = -0.25 * (1 - p) ** 2 * p.log() * t
            unwanted = -0.75 * p**2 * (1 - p).log() * (1 - t)
            torch.testing.assert_close(focal[q, n], (wanted + unwanted).mean())
    both = match_costs(class_logits, mask_logits, class_ids, masks, focal=True)
    plain = match_costs(class_logits, mask_logits, class_ids, masks, mask_weight=0)
    torch.testing.assert_close(both, plain + 5 * focal)


@pytest.mark.parametrize(("num_queries", "num_targets"), [(5, 3), (4, 4), (2, 5)])
def test_assignment_is_the_cheapest_of_all(num_queries, num_targets) -> None:
    problem = _problem(num_queries, num_targets, seed=num_targets)
    costs, pairs = match_costs(*problem), match(*problem)
    if num_queries >= num_targets:
        ways = [
            sum(costs[q, n] for n, q in enumerate(queries))
            for queries in permutations(range(num_queries), num_targets)
        ]
    else:  # more targets than queries: the others stay unmatched
        ways = [
            sum(costs[q, n] for q, n in enumerate(chosen))
            for chosen in permutations(range(num_targets), num_queries)
        ]
    torch.testing.assert_close(costs[pairs.query_ids, pairs.target_ids].sum(), min(ways))
    assert len(pairs.query_ids) == min(num_queries, num_targets)
    assert pairs.query_ids.tolist() == sorted(set(pairs.query_ids.tolist()))
    assert len(set(pairs.target_ids.tolist())) == len(pairs.target_ids)
    again = match(*problem)
    assert torch.equal(again.query_ids, pairs.query_ids)
    assert torch.equal(again.target_ids, pairs.target_ids)


@pytest.mark.parametrize(("num_queries", "num_targets"), [(5, 0), (0, 3), (0, 0)])
def test_nothing_to_match(num_queries, num_targets) -> None:
    pairs = match(*_problem(num_queries, num_targets))
    assert pairs.query_ids.tolist() == pairs.target_ids.tolist() == []
    assert pairs.query_ids.dtype == torch.int64


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), float("-inf")])
def test_broken_costs_are_taken_last(broken) -> None:
    costs = torch.tensor([[broken, 1.0], [2.0, broken], [5.0, 5.0]])
    pairs = assign([costs])[0]
    assert pairs.query_ids.tolist() == [0, 1]
    assert pairs.target_ids.tolist() == [1, 0]
    assert len(assign([torch.full((2, 2), broken)])[0].query_ids) == 2


def test_broken_logits_do_not_stop_the_matching() -> None:
    class_logits, mask_logits, class_ids, masks = _problem(4, 2)
    mask_logits[0], class_logits[1] = torch.nan, torch.inf
    assert not set(match(class_logits, mask_logits, class_ids, masks).query_ids.tolist()) & {0, 1}


def test_several_images_at_once() -> None:
    costs = [match_costs(*_problem(5, count, seed=count)) for count in (3, 0, 7)]
    for together, cost in zip(assign(costs), costs, strict=True):
        alone = assign([cost])[0]
        assert torch.equal(together.query_ids, alone.query_ids)
        assert torch.equal(together.target_ids, alone.target_ids)
    assert assign([]) == []
