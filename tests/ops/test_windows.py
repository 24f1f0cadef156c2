from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from segtune.errors import SegtuneError
from segtune.ops.windows import merge_windows, windows
from segtune.types import IGNORE, DecidePixels, Geometry, MaskPrediction, Vocabulary


@pytest.mark.parametrize(
    ("size", "crop", "stride", "expected"),
    [
        ((512, 512), 512, 426, [(0, 0, 512, 512)]),
        ((512, 938), 512, 426, [(0, 0, 512, 512), (0, 426, 512, 938)]),
        ((512, 939), 512, 426, [(0, 0, 512, 512), (0, 426, 512, 938), (0, 427, 512, 939)]),
        ((300, 600), 512, 426, [(0, 0, 300, 512), (0, 88, 300, 600)]),
        ((10, 10), 512, 426, [(0, 0, 10, 10)]),
        ((3, 4), (2, 3), (1, 3), [(0, 0, 2, 3), (0, 1, 2, 4), (1, 0, 3, 3), (1, 1, 3, 4)]),
    ],
)
def test_windows_table(size, crop, stride, expected) -> None:
    assert windows(size, crop, stride) == expected


@pytest.mark.parametrize(("crop", "stride"), [(4, 5), (0, 1), (4, 0), ((4, 2), (4, 3))])
def test_windows_refuse_gaps(crop, stride) -> None:
    with pytest.raises(SegtuneError, match="stride must be"):
        windows((9, 9), crop, stride)


def plain_merge(logits, boxes, crop, original_size, pixel_scores, seen):
    size = (max(b[2] for b in boxes), max(b[3] for b in boxes))
    total, visits = torch.zeros(logits[0].shape[0], *size), torch.zeros(size)
    for scores, (y1, x1, y2, x2) in zip(logits, boxes, strict=True):
        planes = F.interpolate(scores[None], crop, mode="bilinear", align_corners=False)[0]
        probs = planes.sigmoid() if pixel_scores == "sigmoid" else planes.softmax(0)
        probs[list(seen)] -= 0.1
        total[:, y1:y2, x1:x2] += probs[:, : y2 - y1, : x2 - x1]
        visits[y1:y2, x1:x2] += 1
    mean = total / visits
    return F.interpolate(mean[None], original_size, mode="bilinear", align_corners=False)[0]


@pytest.mark.parametrize("pixel_scores", ["sigmoid", "softmax"])
@pytest.mark.parametrize("size", [(24, 40), (16, 16), (10, 35)])
def test_merge_equals_the_plain_way(pixel_scores: str, size: tuple[int, int]) -> None:
    boxes = windows(size, 16, 12)
    generator = torch.Generator().manual_seed(0)
    logits = [2 * torch.randn(9, 4, 4, generator=generator) for _ in boxes]
    predictions = [
        MaskPrediction(
            Geometry((y2 - y1, x2 - x1), (y2 - y1, x2 - x1), (16, 16)),
            pixel_logits=scores,
            decision=DecidePixels(pixel_scores),
        )
        for scores, (y1, x1, y2, x2) in zip(logits, boxes, strict=True)
    ]
    vocabulary = Vocabulary.of(*"abcdefg")
    expected = plain_merge(logits, boxes, (16, 16), (30, 50), pixel_scores, (1, 2)).argmax(0)
    expected[expected >= 7] = IGNORE
    for chunk in (1, 4, 100):
        result = merge_windows(
            predictions,
            boxes,
            vocabulary,
            original_size=(30, 50),
            seen_ids=(1, 2),
            num_negatives=2,
            chunk=chunk,
            with_segments=True,
        )
        np.testing.assert_array_equal(result.semantic, expected.numpy())
        assert all(0 <= segment.score <= 1 for segment in result.segments)


def test_merge_refuses_what_does_not_fit() -> None:
    geometry = Geometry((4, 4), (4, 4), (4, 4))
    dense = MaskPrediction(geometry, pixel_logits=torch.zeros(2, 4, 4))
    masks = MaskPrediction(
        geometry, mask_logits=torch.zeros(1, 4, 4), class_logits=torch.zeros(1, 3)
    )
    vocabulary = Vocabulary.of("a", "b")
    box = (0, 0, 4, 4)
    with pytest.raises(SegtuneError, match="1 predictions for 2 windows"):
        merge_windows([dense], [box, box], vocabulary, original_size=(4, 4))
    with pytest.raises(SegtuneError, match="masks"):
        merge_windows([masks], [box], vocabulary, original_size=(4, 4))
    with pytest.raises(SegtuneError, match="2 classes"):
        merge_windows([dense], [box], Vocabulary.of("a"), original_size=(4, 4))
