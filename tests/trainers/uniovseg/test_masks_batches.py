from dataclasses import replace

import numpy as np
import pytest
import torch

from segtune.data.formats import open_dataset
from segtune.errors import DataError
from segtune.trainers.uniovseg.masks_batches import MaskBatches, connected, jittered, unnamed
from segtune.types import IGNORE, Instance, Sample
from tests.trainers.uniovseg.conftest import labels_of


@pytest.fixture
def batches(recipe, folder):
    return MaskBatches(open_dataset(folder, split="train"), recipe)


def test_a_batch_is_a_function_of_its_step(batches, recipe, folder):
    first, again, other = batches(4), batches(4), batches(5)
    one_thread = MaskBatches(open_dataset(folder, split="train"), replace(recipe, workers=1))(4)
    for same in (again, one_thread):
        assert torch.equal(first.pixels, same.pixels)
        assert torch.equal(first.points_px, same.points_px)
        assert torch.equal(first.box_ids, same.box_ids)
        assert all(torch.equal(a, b) for a, b in zip(first.masks, same.masks, strict=True))
    assert first.seed != other.seed
    assert not torch.equal(first.points_px, other.points_px)


def test_views_are_canvases_with_masks_of_allowed_sizes(batches, recipe):
    for step in range(5):
        batch = batches(step)
        assert batch.pixels.shape == (2, 3, 64, 64)
        assert batch.pixels.min() >= -1e-3
        assert batch.pixels.max() <= 255 + 1e-3
        for masks, ids in zip(batch.masks, batch.box_ids, strict=True):
            share = masks.flatten(1).float().mean(1)
            assert (share > 0).all()
            assert (share <= recipe.max_area).all()
            assert set(ids.tolist()) == set(range(len(masks)))
    padded = batches(0).pixels[:, :, -1, -1]
    assert ((padded - 128).abs() < 1e-3).all() or recipe.scale[1] > 1


def test_every_image_once_per_pass(recipe, folder):
    dataset = open_dataset(folder, split="train")
    batches = MaskBatches(dataset, replace(recipe, batch=5))
    assert sorted(batches._pick(place) for place in range(5)) == list(range(5))
    assert sorted(batches._pick(place) for place in range(5, 10)) == list(range(5))


def test_points_stay_in_their_cells():
    points = jittered(4, 64, torch.Generator().manual_seed(0))
    cells = (points // 16).long()
    assert cells.tolist() == [[x, y] for y in range(4) for x in range(4)]


def test_parts_of_a_label_map_are_masks():
    labels = labels_of(0).astype(np.int32)
    labels[labels == 255] = IGNORE
    parts = connected(labels)
    assert [int(part.mask.sum()) for part in parts] == [46 * 64 - 400 - 280, 400, 280]
    assert {part.class_id for part in parts} == {IGNORE}


def test_annotated_masks_come_first_and_crowds_go():
    mask = np.ones((2, 2), bool)
    objects = (Instance(3, mask), Instance(4, mask, is_crowd=True))
    sample = Sample("a", np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.int32), objects)
    (own,) = unnamed(sample).instances
    assert own.class_id == IGNORE
    with pytest.raises(DataError, match="neither masks nor a label map"):
        unnamed(replace(sample, semantic=None, instances=()))
