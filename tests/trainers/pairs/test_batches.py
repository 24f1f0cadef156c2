"""Batches: a function of the step, masks that follow their pixels, masks found by colour."""

import pytest
import torch

from segtune.errors import SegtuneError
from segtune.ops.normalisation import CLIP
from segtune.trainers.pairs.batches import Augment, Batches
from segtune.trainers.pairs.regions import Region

SIDE, PAINT = 24, (124, 116, 103)


class Regions:
    """Eleven regions; the mask of each is where its pixels are above zero."""

    def __init__(self, *, released: bool = False) -> None:
        self.released = released

    def __len__(self) -> int:
        return 11

    def __getitem__(self, index: int) -> Region:
        mask = torch.zeros(SIDE, SIDE, dtype=torch.bool)
        mask[2 + index : 14 + index, 3:17] = True
        if not self.released:
            return Region((mask * (1.0 + index)).half().expand(3, -1, -1), mask)
        picture = torch.tensor(PAINT, dtype=torch.uint8)[:, None, None].repeat(1, SIDE, SIDE)
        picture[:, mask] = torch.tensor([200, 10, 30 + index], dtype=torch.uint8)[:, None]
        return Region(picture, None)


def _batches(*, size=4, seed=0, released=False, augment=None) -> Batches:
    return Batches(
        Regions(released=released),
        [index % 3 for index in range(11)],
        size=size,
        augment=augment or Augment(),
        normalisation=CLIP,
        fill_color=PAINT,
        seed=seed,
    )


NO_CROP = Augment(scale=(1.0, 1.0), ratio=(1.0, 1.0))


def test_every_pair_once_per_epoch_in_another_order():
    batches = _batches(augment=NO_CROP)
    assert batches.steps_per_epoch == 2
    seen = []
    for epoch in range(3):
        values = [batches(2 * epoch + i).pixels.amax((1, 2, 3)) - 1 for i in range(2)]
        seen.append(torch.cat(values).long().tolist())
        assert len(set(seen[-1])) == 8  # without repeats; the rest is left out
    assert len({tuple(order) for order in seen}) == 3
    batch = batches(1)
    index = (batch.pixels.amax((1, 2, 3)) - 1).long()
    assert torch.equal(batch.text_ids, index % 3)


def test_a_batch_is_a_function_of_seed_and_step():
    first, again, other = _batches(), _batches(), _batches(seed=1)
    for step in (5, 0, 5):
        a, b = first(step), again(step)
        assert torch.equal(a.pixels, b.pixels)
        assert torch.equal(a.masks, b.masks)
        assert not torch.equal(a.text_ids, other(step).text_ids) or not torch.equal(
            a.pixels, other(step).pixels
        )


def test_fewer_pairs_than_a_batch():
    batches = _batches(size=64)
    assert (batches.size, batches.steps_per_epoch) == (11, 1)
    assert len(batches(7).pixels) == 11


def test_crops_keep_what_was_asked_for():
    augment, generator = Augment(), torch.Generator().manual_seed(0)
    boxes = [augment.box(224, generator) for _ in range(300)]
    sides = torch.tensor([(x2 - x1, y2 - y1) for x1, y1, x2, y2 in boxes]).double()
    area, ratio = sides.prod(1) / 224**2, sides[:, 0] / sides[:, 1]
    assert area.min() > 0.89
    assert 0.75 < ratio.min() < 0.95
    assert 1.05 < ratio.max() < 1.34
    assert len({box[:2] for box in boxes}) > 50
    corners = torch.tensor(boxes)
    assert corners.min() >= 0
    assert corners.max() <= 224
    assert NO_CROP.box(9, generator) == (0, 0, 9, 9)
    tall = Augment(scale=(1.0, 1.0), ratio=(3.0, 4.0))  # fits no square
    assert tall.box(20, generator) == (0, 0, 20, 20)


def test_masks_follow_their_pixels():
    batch = _batches()(3)
    inside = batch.pixels[:, 0] > 0.5 * batch.pixels.amax((1, 2, 3))[:, None, None]
    agree = (inside == batch.masks).float().mean((1, 2))
    assert (agree > 0.93).all()  # all but a pixel along the border
    assert batch.masks.dtype == torch.bool


def test_masks_of_released_crops_are_found_by_colour():
    exact = _batches(released=True, augment=NO_CROP)(0)
    for picture, mask in zip(exact.pixels, exact.masks, strict=True):
        assert mask.sum() == 12 * 14 or mask.sum() % 14 == 0
        mean, std = CLIP.tensors(picture)
        paint = torch.tensor(PAINT)[:, None, None]
        outside = (picture * std + mean - paint).abs().amax(0) < 0.02
        assert torch.equal(outside, ~mask)
    cropped = _batches(released=True, augment=Augment(scale=(0.9, 0.9)))(0)
    grown = 0
    for picture, mask in zip(cropped.pixels, cropped.masks, strict=True):
        red = picture[0] * CLIP.std[0] + CLIP.mean[0]
        grown += int((mask & (red < 130)).sum())  # blended pixels count as the region
    assert grown > 0


@pytest.mark.parametrize(
    "changes", [{"scale": (0.0, 1.0)}, {"scale": (0.9, 1.2)}, {"ratio": (2.0, 1.0)}]
)
def test_ranges_that_make_no_sense(changes):
    with pytest.raises(SegtuneError, match="must be ranges"):
        Augment(**changes)
