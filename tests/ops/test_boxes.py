"""Box operations against loops that spell the definitions out."""

import math

import pytest
import torch

from segtune.errors import SegtuneError
from segtune.ops.boxes import batched_nms, box_iou, mask_iou, mask_nms, nms, roi_align


def _random_boxes(count, seed=0, size=10.0):
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, 2, generator=generator) * size
    return torch.cat([corners.amin(1), corners.amax(1)], 1)


def _greedy(overlaps, scores, limit):
    """Non-maximum suppression, one box after the other."""
    left = sorted(range(len(scores)), key=lambda i: -float(scores[i]))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if float(overlaps[best, i]) <= limit]
    return kept


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([0, 0, 2, 2], [0, 0, 2, 2], 1.0),
        ([0, 0, 2, 2], [1, 1, 3, 3], 1 / 7),
        ([0, 0, 2, 2], [2, 0, 4, 2], 0.0),  # they touch
        ([0, 0, 2, 2], [1, 1, 1, 1], 0.0),  # a point
        ([1, 1, 1, 1], [1, 1, 1, 1], 0.0),  # no area at all
        ([0, 0, 2, 2], [2, 2, 0, 0], 0.0),  # corners swapped
    ],
)
def test_box_iou(a, b, expected):
    overlap = box_iou(torch.tensor([a]).float(), torch.tensor([b]).float())
    assert overlap.shape == (1, 1)
    assert overlap.item() == pytest.approx(expected)


def test_iou_of_nothing():
    assert box_iou(torch.zeros(0, 4), torch.zeros(3, 4)).shape == (0, 3)
    empty = torch.zeros(2, 4, 4, dtype=torch.bool)
    assert mask_iou(empty, empty).tolist() == [[0, 0], [0, 0]]


def test_mask_iou():
    masks = torch.zeros(2, 2, 3, dtype=torch.bool)
    masks[0, 0] = True
    masks[1, :, 0] = True
    assert torch.allclose(mask_iou(masks, masks), torch.tensor([[1, 0.25], [0.25, 1]]))


@pytest.mark.parametrize("limit", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("count", [0, 1, 2, 60])
def test_nms_is_greedy(count, limit):
    boxes = _random_boxes(count, seed=count)
    # Few distinct scores: ties go to the first box.
    scores = torch.randint(0, 10, (count,), generator=torch.Generator().manual_seed(1)) / 10
    assert nms(boxes, scores, limit).tolist() == _greedy(box_iou(boxes, boxes), scores, limit)


def test_nms_of_a_chain():
    # Each box overlaps its neighbours only: every other one stays, which takes many rounds.
    start = torch.arange(9.0)
    boxes = torch.stack([start, start * 0, start + 2, start * 0 + 1], 1)
    assert nms(boxes, 10 - start, 0.3).tolist() == [0, 2, 4, 6, 8]


def test_batched_nms():
    boxes, scores = _random_boxes(40, seed=3), torch.rand(40, generator=torch.Generator())
    groups = torch.arange(40) % 3
    kept = batched_nms(boxes, scores, groups, 0.3)
    expected = [
        ids[nms(boxes[ids], scores[ids], 0.3)]
        for ids in (torch.where(groups == g)[0] for g in range(3))
    ]
    assert sorted(kept.tolist()) == sorted(torch.cat(expected).tolist())
    assert (scores[kept].diff() <= 0).all()


def test_mask_nms():
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[0, :2] = masks[1, :2] = masks[2, 2:] = True
    assert mask_nms(masks, torch.tensor([0.2, 0.8, 0.5]), 0.7).tolist() == [1, 2]


def _bilinear(plane, y, x):
    height, width = plane.shape
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = max(y, 0.0), max(x, 0.0)
    low_y, low_x = int(y), int(x)
    if low_y >= height - 1:
        low_y, y = height - 1, float(height - 1)
    if low_x >= width - 1:
        low_x, x = width - 1, float(width - 1)
    high_y, high_x = min(low_y + 1, height - 1), min(low_x + 1, width - 1)
    dy, dx = y - low_y, x - low_x
    return (
        (1 - dy) * (1 - dx) * float(plane[low_y, low_x])
        + (1 - dy) * dx * float(plane[low_y, high_x])
        + dy * (1 - dx) * float(plane[high_y, low_x])
        + dy * dx * float(plane[high_y, high_x])
    )


def _slow_roi_align(plane, box, size, scale, ratio, aligned):
    """The definition, sample by sample, for one channel and one box."""
    x1, y1, x2, y2 = (float(v) * scale - (0.5 if aligned else 0.0) for v in box)
    width, height = x2 - x1, y2 - y1
    if not aligned:
        width, height = max(width, 1.0), max(height, 1.0)
    step_y, step_x = height / size[0], width / size[1]
    count_y = ratio if ratio > 0 else math.ceil(step_y)
    count_x = ratio if ratio > 0 else math.ceil(step_x)
    cells = torch.zeros(size)
    for p in range(size[0]):
        for q in range(size[1]):
            total = 0.0
            for i in range(count_y):
                for j in range(count_x):
                    y = y1 + step_y * (p + (i + 0.5) / count_y)
                    x = x1 + step_x * (q + (j + 0.5) / count_x)
                    total += _bilinear(plane, y, x)
            cells[p, q] = total / max(count_y * count_x, 1)
    return cells


BOXES = [
    [0.0, 0.0, 14.0, 10.0],
    [3.3, 2.1, 9.7, 5.9],
    [-6.0, -5.0, 4.0, 30.0],  # beyond the image on three sides
    [20.0, 20.0, 30.0, 30.0],  # outside
    [5.0, 5.0, 5.0, 5.0],  # empty
    [8.0, 6.0, 4.0, 2.0],  # corners swapped
    [13.5, 9.5, 14.0, 10.0],  # the last pixel
]


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [-1, 2])
@pytest.mark.parametrize(("scale", "size"), [(1.0, (2, 3)), (0.5, (3, 2))])
def test_roi_align(scale, size, ratio, aligned):
    features = torch.randn(2, 2, 10, 14, generator=torch.Generator().manual_seed(0))
    boxes = [torch.tensor(BOXES), torch.tensor(BOXES[1:3])]
    pooled = roi_align(
        features, boxes, size, spatial_scale=scale, sampling_ratio=ratio, aligned=aligned
    )
    expected = [
        torch.stack(
            [_slow_roi_align(plane, box, size, scale, ratio, aligned) for plane in features[image]]
        )
        for image, own in enumerate(boxes)
        for box in own
    ]
    assert torch.allclose(pooled, torch.stack(expected), atol=1e-5)


def test_roi_align_gradients():
    features = torch.randn(1, 1, 6, 6, dtype=torch.double, requires_grad=True)
    boxes = torch.tensor([[0.3, 0.4, 4.7, 5.1]], dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda f, b: roi_align(f, [b], 2, sampling_ratio=2, aligned=True), (features, boxes)
    )


def test_roi_align_of_nothing():
    features = torch.zeros(2, 3, 4, 4)
    none = torch.zeros(0, 4)
    assert roi_align(features, [none, none], 7).shape == (0, 3, 7, 7)
    assert roi_align(features[:0], [], 7).shape == (0, 3, 7, 7)
    one = roi_align(features, [none, torch.ones(1, 4)], (2, 5))
    assert one.shape == (1, 3, 2, 5)


def test_roi_align_needs_boxes_for_every_image():
    with pytest.raises(SegtuneError, match="boxes for 1 images but features of 2"):
        roi_align(torch.zeros(2, 3, 4, 4), [torch.zeros(1, 4)], 7)
