from pathlib import Path

import numpy as np
import pytest
import torch

from segtune.trainers.bundled.clip.batch import Batch, make_batch, patch_labels
from segtune.trainers.bundled.clip.captions import concept_attributes, matches, seen_things
from segtune.trainers.bundled.clip.pool import Pool, open_pool
from segtune.trainers.bundled.clip.recipe import ClipRecipe

KINDS = ["crop_full", "crop_partial", "scene_full", "patch_full", "patch_partial"]


@pytest.fixture(scope="module")
def pool(tiny_recipe: ClipRecipe, tiny_cache: Path) -> Pool:
    return open_pool(tiny_recipe, tiny_cache)


@pytest.fixture(scope="module")
def batch(pool: Pool, tiny_recipe: ClipRecipe) -> Batch:
    return make_batch(pool, tiny_recipe, 3)


def test_shapes(batch: Batch) -> None:
    assert batch.crops.shape == (6, 3, 64, 64)
    assert batch.scenes.shape[:2] == (2, 3)
    assert batch.scenes.shape[2] in (48, 64)
    assert len(batch.crop_full.own) == 6
    assert len(batch.crop_partial.own) == 6 * 3 + 6  # three words each, and a pair
    assert len(batch.scene_full.own) == 2
    assert len(batch.patch_index) == len(batch.patch_full.own) == len(batch.patch_weights)
    num_patches = 2 * (batch.scenes.shape[2] // 8) ** 2
    assert 0 < len(batch.patch_index.unique()) == len(batch.patch_index) <= num_patches


def test_captions_of_a_kind_are_over_the_same_texts(batch: Batch) -> None:
    assert batch.crop_full.texts == batch.patch_full.texts == batch.scene_full.texts
    assert batch.crop_partial.texts == batch.patch_partial.texts
    assert len(set(batch.crop_full.texts)) == len(batch.crop_full.texts) == len(seen_things()) + 12


@pytest.mark.parametrize("kind", KINDS)
def test_own_captions_are_true(batch: Batch, kind: str) -> None:
    captions = getattr(batch, kind)
    assert captions.true.shape == (len(captions.own), len(captions.texts))
    assert captions.rows.shape == captions.own.shape
    assert captions.true.gather(1, captions.own[:, None]).all()


def test_rows_of_one_thing_have_one_true_full_caption(batch: Batch) -> None:
    assert (batch.crop_full.true.sum(1) == 1).all()
    assert (batch.patch_full.true.sum(1) == 1).all()
    assert (batch.scene_full.true.sum(1) >= 1).all()


def test_batches_are_a_function_of_the_step(pool: Pool, tiny_recipe: ClipRecipe) -> None:
    one, same, other = (make_batch(pool, tiny_recipe, step) for step in (7, 7, 8))
    assert torch.equal(one.crops, same.crops)
    assert torch.equal(one.patch_index, same.patch_index)
    assert one.crop_partial.texts == same.crop_partial.texts
    assert not torch.equal(one.crops, other.crops)


def test_patch_labels_by_hand() -> None:
    label_map = np.zeros((1, 4, 4), dtype=np.int16)
    label_map[0, :2, 2:] = 7  # one patch wholly
    label_map[0, 2:, :2] = [[5, 5], [5, 0]]  # three pixels of four
    labels, cover = patch_labels(label_map, 2)
    assert labels.tolist() == [[0, 7, 5, 0]]
    assert cover.tolist() == [[1.0, 1.0, 0.75, 1.0]]


def test_matches_ignores_what_is_not_said() -> None:
    attributes = concept_attributes()[:3]  # plain red, yellow and green circle
    table = matches([(0, -1, 0, -1), (0, 1, 0, -1)], attributes)
    assert table.tolist() == [[True, False], [True, True], [True, False]]
