"""What a SAM saw: the masks of `transformers` for clicks and boxes, and no names."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from segtune.backbones.prompting import Boxes, Clicks
from segtune.backbones.sam.random import random_sam
from segtune.errors import SegtuneError


@pytest.fixture(params=["sam", "sam2"])
def seen(request):
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return random_sam(request.param).look(pixels)


def test_the_best_of_three_for_one_click_and_one_mask_for_more(seen):
    points = (np.array([(9.5, 9.5)], np.float32), np.array([(20, 20), (30, 30)], np.float32))
    labels = (np.array([1]), np.array([1, 0]))
    answer = seen.points(Clicks(points, labels))
    model, geometry = seen.sam.model, seen.geometry
    maps = [seen.features[name] for name in ("high0", "high1", "image") if name in seen.features]
    for i, multimask in enumerate((True, False)):
        scale = [a / b for a, b in zip(geometry.resized_size, geometry.original_size, strict=True)]
        clicks = torch.from_numpy(points[i]) * torch.tensor(scale[::-1]) - 0.5
        with torch.no_grad():
            expected = model(
                input_points=clicks[None, None],
                input_labels=torch.from_numpy(labels[i])[None, None],
                image_embeddings=maps if len(maps) > 1 else maps[0],
                multimask_output=multimask,
            )
        scores = expected.iou_scores[0, 0]
        best = int(scores.argmax())
        torch.testing.assert_close(answer.mask_logits[i], expected.pred_masks[0, 0, best])
        torch.testing.assert_close(answer.qualities[i], scores[best].clamp(0, 1))


def test_boxes(seen):
    answer = seen.boxes(Boxes(np.array([(5, 5, 30, 30), (40, 10, 64, 48)], np.float32)))
    assert answer.mask_logits.shape[0] == 2
    assert answer.boxes_px is None  # SAM keeps to a box by itself
    assert ((answer.qualities >= 0) & (answer.qualities <= 1)).all()


def test_nothing_asked(seen):
    assert len(seen.points(Clicks((), ())).mask_logits) == 0
    assert len(seen.boxes(Boxes(np.zeros((0, 4), np.float32))).mask_logits) == 0


def test_it_reads_no_words(seen):
    click = Clicks((np.ones((1, 2), np.float32),), (np.ones(1, np.int64),))
    with pytest.raises(SegtuneError, match="reads no words"):
        seen.points(click, torch.ones(2, 1))


def test_it_does_not_change(seen):
    with pytest.raises(FrozenInstanceError):
        seen.features = {}
