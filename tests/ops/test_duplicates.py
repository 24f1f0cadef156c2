import torch

from segtune.ops.duplicates import equal_masks, similar_masks


def bars(*lengths: int, width: int = 20) -> torch.Tensor:
    """Masks (N, 3, width) whose first columns are set."""
    return torch.stack([(torch.arange(width) < n).expand(3, -1) for n in lengths])


def test_equal_masks_lead_to_the_first_of_them():
    masks = torch.rand(6, 9, 13, generator=torch.Generator().manual_seed(0)) > 0.5
    masks[3], masks[5] = masks[0], masks[0]
    masks[4] = masks[1]
    assert equal_masks(masks).tolist() == [0, 1, 2, 0, 1, 0]


def test_one_pixel_makes_a_difference():
    masks = torch.zeros(2, 5, 7, dtype=torch.bool)
    masks[1, 4, 6] = True
    assert equal_masks(masks).tolist() == [0, 1]


def test_no_masks():
    nothing = torch.zeros(0, 4, 4, dtype=torch.bool)
    assert equal_masks(nothing).tolist() == []
    assert similar_masks(nothing, 0.5).tolist() == []


def test_similar_masks_follow_the_first_that_is_close_enough():
    # IoU of bars is the ratio of their lengths.
    assert similar_masks(bars(10, 9, 5, 8), 0.8).tolist() == [0, 0, 2, 0]
    assert similar_masks(bars(10, 9, 5, 8), 0.95).tolist() == [0, 1, 2, 3]


def test_chains_do_not_drift():
    # 16 is close to 20 and 13 to 16, but 13 is not close to 20.
    assert similar_masks(bars(20, 16, 13), 0.8).tolist() == [0, 0, 2]


def test_empty_masks_are_similar_to_each_other_only():
    assert similar_masks(bars(0, 7, 0), 0.9).tolist() == [0, 1, 0]


def test_an_iou_of_one_joins_equal_masks():
    masks = bars(4, 6, 4)
    assert torch.equal(similar_masks(masks, 1.0), equal_masks(masks))
