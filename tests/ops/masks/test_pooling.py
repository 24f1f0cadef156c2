import torch

from segtune.ops.masks.pooling import masks_at, pool_inside, small_ones_kept


def test_means_are_those_of_a_loop():
    torch.manual_seed(0)
    features, masks = torch.randn(2, 5, 4, 6), torch.rand(2, 3, 4, 6) > 0.5
    found = pool_inside(features, masks)
    for b in range(2):
        for q in range(3):
            inside = features[b][:, masks[b, q]].mean(1)
            torch.testing.assert_close(found[b, q], inside)


def test_empty_masks_and_half_precision():
    features = torch.randn(1, 2, 3, 3)
    assert pool_inside(features.half(), torch.zeros(1, 1, 3, 3, dtype=torch.bool)).tolist() == [
        [[0.0, 0.0]]
    ]
    assert pool_inside(features, torch.zeros(1, 0, 3, 3, dtype=torch.bool)).shape == (1, 0, 2)


def test_gradients_reach_the_features_inside():
    features = torch.zeros(1, 1, 1, 3, requires_grad=True)
    pool_inside(features, torch.tensor([[[[True, False, True]]]])).sum().backward()
    assert features.grad.flatten().tolist() == [0.5, 0.0, 0.5]


def test_masks_are_cut_after_resizing():
    logits = torch.tensor([[[[4.0, -1.0], [4.0, -1.0]]]])
    assert masks_at(logits, (1, 1)).all()
    assert masks_at(logits, (2, 2)).tolist() == [[[[True, False], [True, False]]]]


def test_no_masks_are_no_masks_at_any_size():
    assert masks_at(torch.zeros(2, 0, 8, 8), (2, 3)).shape == (2, 0, 2, 3)


def test_small_masks_keep_the_place_they_cover_most_of():
    masks = torch.full((1, 3, 8, 8), -1.0)
    masks[0, 0, :5, :5] = 1  # large enough
    masks[0, 1, 3:5, 5] = 1  # one pixel in each of two places
    kept = small_ones_kept(masks, (2, 2))
    assert torch.equal(kept[0, 0], masks[0, 0])
    assert masks_at(kept, (2, 2))[0].tolist() == [
        [[True, False], [False, False]],
        [[False, True], [False, True]],
        [[False, False], [False, False]],  # empty stays empty
    ]
