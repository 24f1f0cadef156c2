import numpy as np
import pytest
import torch

from segtune.backbones.base import Promptable, Proposes, ReadsWords
from segtune.backbones.prompting import Boxes, Clicks
from segtune.backbones.uniovseg.canvas import paint
from segtune.backbones.uniovseg.random import random_uniovseg


def clicks(*objects):
    """Objects by their clicks: (x, y) on them, (x, y, 0) beside them."""
    points = tuple(np.array([click[:2] for click in each], np.float32) for each in objects)
    labels = tuple(np.array([(*click, 1)[2] for click in each]) for each in objects)
    return Clicks(points, labels)


@pytest.fixture(scope="module")
def model():
    return random_uniovseg(seed=5)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 255, (40, 80, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def seen(model, image):
    return model.look(image)


def test_it_can_what_the_house_asks_for(model):
    for capability in (Promptable, Proposes, ReadsWords):
        assert isinstance(model, capability)


def test_a_click_has_the_best_of_all_granularities(model, image, seen):
    found = seen.points(clicks([(30, 20)], [(70, 35)]))
    canvas, geometry = paint(image, 64)
    assert seen.geometry == geometry
    whole = model.see(canvas[None])
    points = torch.tensor([[[30.0, 20.0], [70.0, 35.0]]]) * 64 / 80
    answers = model.answer(model.points(points, whole), whole)
    masks = answers.logits(whole.mask_features)[0]
    for number, best in enumerate(answers.ious[0].argmax(-1).tolist()):
        torch.testing.assert_close(found.mask_logits[number], masks[number, best])
    torch.testing.assert_close(found.qualities, answers.ious[0].amax(-1))


def test_the_canvas_can_have_another_size(model, image):
    assert model.look(image, 70).geometry.input_size == (96, 96)
    assert model.look(image, 32).geometry == paint(image, 32)[1]


def test_all_granularities_are_ranked(seen):
    every = seen.granularities((30, 20))
    assert len(every.mask_logits) == 4
    assert torch.equal(every.qualities, every.qualities.sort(descending=True).values)
    best = seen.points(clicks([(30, 20)]))
    torch.testing.assert_close(best.mask_logits[0], every.mask_logits[0])


def test_objects_with_more_clicks_do_not_change_the_others(seen):
    alone = seen.points(clicks([(30, 20)]))
    mixed = seen.points(clicks([(5, 5), (9, 9, 0)], [(30, 20)], [(50, 30, 0)]))
    torch.testing.assert_close(mixed.mask_logits[1], alone.mask_logits[0])
    assert len(mixed.mask_logits) == 3
    assert mixed.mask_logits.isfinite().all()


def test_boxes(seen):
    found = seen.boxes(Boxes(np.array([[1, 2, 40, 30], [0, 0, 80, 40]], np.float32)))
    assert found.mask_logits.shape == (2, 16, 16)
    assert found.qualities.shape == (2,)
    assert found.class_logits is None


def test_nothing_asked(seen):
    assert len(seen.points(clicks()).mask_logits) == 0
    assert len(seen.boxes(Boxes(np.zeros((0, 4), np.float32))).mask_logits) == 0


def test_words_name_the_regions(model, seen):
    text = torch.nn.functional.normalize(torch.randn(4, 16), dim=-1)
    found = seen.boxes(Boxes(np.array([[1, 2, 40, 30]], np.float32)), text)
    assert found.class_logits.shape == (1, 4)
    assert found.class_logits.abs().max() <= model.clip.temperature + 1e-4


def test_proposals_of_a_batch(model):
    pixels = 255 * torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    found = model.propose(pixels)
    assert found.mask_logits.shape[-2:] == (16, 24)
    assert found.objectness.shape == found.mask_logits.shape[:2]
    for masks, scores in zip(found.mask_logits, found.objectness, strict=True):
        assert (masks[scores == 0] < 0).all()
        assert (scores[scores > 0] >= model.everything.min_iou).all()
