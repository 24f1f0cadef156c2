"""The pieces of set losses on hand-made pairs; whole losses are tested in `test_set_loss`."""

import pytest
import torch
import torch.nn.functional as F

from segtune.ops.matched.losses import (
    Pairs,
    bce_per_mask,
    dice_per_mask,
    focal_per_mask,
    label_loss,
    mask_losses,
)
from segtune.ops.matched.mask_readers import AtCells
from segtune.ops.matched.matching import Match

CPU = torch.device("cpu")


def pairs_of(*matches: tuple[list[int], list[int]], num_targets: list[int]) -> Pairs:
    found = [Match(*(torch.tensor(ids, dtype=torch.int64) for ids in both)) for both in matches]
    return Pairs.of(found, num_targets, CPU)


def test_pairs_count_targets_of_the_images_before_them():
    """Unmatched targets count too, so that a part of an assignment may be taken."""
    pairs = pairs_of(([1, 2], [2, 0]), ([], []), ([0], [1]), num_targets=[4, 3, 2])
    assert pairs.image_ids.tolist() == [0, 0, 2]
    assert pairs.query_ids.tolist() == [1, 2, 0]
    assert pairs.rows.tolist() == [2, 0, 8]
    assert pairs.counts == (2, 0, 1)
    labels = pairs.labels(torch.arange(9) + 10, (3, 3), no_object=99)
    assert labels.tolist() == [[99, 12, 10], [99, 99, 99], [18, 99, 99]]


@pytest.mark.parametrize("focal", [False, True])
def test_mask_losses_are_sums_over_pairs(focal):
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 3, 4, 5), torch.rand(3, 8, 10) > 0.5
    reader = AtCells(targets, logits)
    pairs = pairs_of(([1], [0]), ([0, 2], [1, 0]), num_targets=[1, 2])
    mask_loss, dice_loss = mask_losses(logits, pairs, reader, focal=focal)
    cells = F.adaptive_avg_pool2d(targets.float(), (4, 5)).flatten(1)[[0, 2, 1]]
    chosen = logits[[0, 1, 1], [1, 0, 2]].flatten(1)
    per_mask = focal_per_mask if focal else bce_per_mask
    torch.testing.assert_close(mask_loss, per_mask(chosen, cells).sum())
    torch.testing.assert_close(dice_loss, dice_per_mask(chosen, cells).sum())


def test_no_pairs_cost_nothing_with_a_graph():
    logits = torch.randn(1, 3, 4, 5, requires_grad=True)
    reader = AtCells(torch.zeros(0, 8, 10), logits)
    losses = mask_losses(logits, pairs_of(([], []), num_targets=[0]), reader)
    assert losses == (0, 0)
    sum(losses).backward()
    assert not logits.grad.any()


def test_label_loss_is_a_weighted_mean():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 4), torch.tensor([[0, 3, 3], [2, 3, 1]])
    costs = -logits.log_softmax(-1).gather(2, labels[..., None])[..., 0]
    weights = torch.where(labels == 3, 0.25, 1.0)
    expected = (costs * weights).sum() / weights.sum()
    torch.testing.assert_close(label_loss(logits, labels, no_object_weight=0.25), expected)


def test_losses_per_mask_at_one_point():
    logit, target = torch.tensor([[0.0]]), torch.tensor([[1.0]])
    assert bce_per_mask(logit, target).item() == pytest.approx(0.6931, abs=1e-4)
    assert focal_per_mask(logit, target).item() == pytest.approx(0.25 * 0.25 * 0.6931, abs=1e-4)
    assert dice_per_mask(logit, target).item() == pytest.approx(1 - 2 / 2.5)
