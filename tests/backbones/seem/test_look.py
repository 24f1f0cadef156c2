"""What a SEEM saw: its answers equal those of the decoder asked directly, and it stays as it is."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from segtune.backbones.prompting import Boxes, Clicks
from segtune.backbones.seem.look import AT_ONCE, padded_clicks
from segtune.backbones.seem.model import random_seem

SEEM = random_seem()


def clicks_at(*groups):
    points = tuple(np.array(group, np.float32) for group in groups)
    return Clicks(points, tuple(np.ones(len(group), np.int64) for group in groups))


@pytest.fixture
def seen():
    pixels = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    return SEEM.look(pixels, 64)


def test_points_equal_the_model_asked_directly(seen):
    answer = seen.points(clicks_at([(8.5, 20.5), (30.5, 8.5)], [(50.5, 9.5)]))
    points = torch.tensor([[[8.0, 20], [30, 8]], [[50, 9], [0, 0]]]) / torch.tensor([96.0, 64])
    labels = torch.tensor([[1, 1], [1, -1]])
    with torch.no_grad():
        expected = SEEM.segment_points(seen.memory, points[None], labels[None]).mask_logits[0]
    assert torch.equal(answer.mask_logits, expected)
    assert answer.class_logits is None
    assert answer.mask_resize == "bicubic"


def test_boxes_with_names(seen):
    boxes = np.array([(8.5, 8.5, 40.5, 30.5), (4.5, 2.5, 90.5, 60.5)], np.float32)
    text = torch.nn.functional.normalize(torch.randn(3, SEEM.joint_width), dim=-1)
    answer = seen.boxes(Boxes(boxes), text)
    norm = torch.from_numpy((boxes - 0.5) / np.array([96, 64, 96, 64], np.float32))
    with torch.no_grad():
        expected = SEEM.segment_boxes(seen.memory, norm[None], text=text)
    torch.testing.assert_close(answer.mask_logits, expected.mask_logits[0])
    assert answer.class_logits.shape == (2, 3)
    assert np.array_equal(answer.boxes_px, boxes)


def test_many_objects_go_in_parts(seen):
    count = 2 * AT_ONCE + 1
    together = seen.points(clicks_at(*([(i % 90 + 0.5, 9.5)] for i in range(count))))
    alone = seen.points(clicks_at([((count - 1) % 90 + 0.5, 9.5)]))
    assert together.mask_logits.shape[0] == count
    torch.testing.assert_close(together.mask_logits[-1:], alone.mask_logits, atol=1e-4, rtol=1e-4)


def test_nothing_asked(seen):
    assert len(seen.points(Clicks((), ())).mask_logits) == 0
    assert len(seen.boxes(Boxes(np.zeros((0, 4), np.float32))).mask_logits) == 0


def test_it_does_not_change(seen):
    before = {name: tensor.clone() for name, tensor in seen.memory.tensors().items()}
    seen.points(clicks_at([(8.5, 20.5)]))
    seen.boxes(Boxes(np.array([(1, 1, 9, 9)], np.float32)))
    after = seen.memory.tensors()
    assert all(torch.equal(before[name], after[name]) for name in before)
    with pytest.raises(FrozenInstanceError):
        seen.geometry = None


def test_short_rows_are_filled_with_no_click():
    points, labels = padded_clicks(clicks_at([(1, 2)], [(3, 4), (5, 6)], [(7, 8)]), 0, 2)
    assert points.tolist() == [[[1, 2], [0, 0]], [[3, 4], [5, 6]]]
    assert labels.tolist() == [[1, -1], [1, 1]]
