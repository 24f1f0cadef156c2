from pathlib import Path

import numpy as np
import pytest

from segtune.data.synthetic import compositions
from segtune.trainers.bundled.clip import pool as clip_pool
from segtune.trainers.bundled.clip.captions import seen_things
from segtune.trainers.bundled.clip.pool import concept_map, open_pool
from segtune.trainers.bundled.clip.recipe import ClipRecipe


def test_pool_holds_what_the_recipe_asks_for(tiny_recipe: ClipRecipe, tiny_cache: Path) -> None:
    pool = open_pool(tiny_recipe, tiny_cache)
    assert pool.crop_images.shape == (24, 64, 64, 3)
    assert pool.scene_images.shape == (6, 64, 64, 3)
    assert pool.scene_labels.shape == (6, 64, 64)
    assert pool.crop_images.std() > 20


def test_unseen_compositions_are_never_shown(tiny_recipe: ClipRecipe, tiny_cache: Path) -> None:
    pool = open_pool(tiny_recipe, tiny_cache)
    allowed = {*seen_things().tolist(), *range(len(compositions()), len(compositions()) + 12)}
    shown = np.union1d(pool.crop_labels, pool.scene_labels)
    assert set(shown.tolist()) <= allowed


def test_second_opening_renders_nothing(
    tiny_recipe: ClipRecipe, tiny_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_pool(tiny_recipe, tiny_cache)
    monkeypatch.delattr(clip_pool, "_render_pool")
    assert np.array_equal(open_pool(tiny_recipe, tiny_cache).crop_images, first.crop_images)
    assert not list(tiny_cache.glob("*.tmp"))


def test_concept_map_joins_things_and_stuff() -> None:
    scene = clip_pool._random_scene(np.random.default_rng(0))
    labels = concept_map(scene)
    num_things = len(compositions())
    assert np.array_equal(labels >= num_things, scene.thing_map < 0)
    for index, thing in enumerate(scene.things):
        assert np.unique(labels[scene.thing_map == index]).tolist() == [thing]


def test_cuts_show_the_thing_they_are_named_after() -> None:
    rng = np.random.default_rng(0)
    scene = clip_pool._random_scene(rng)
    for _ in range(8):
        cut = clip_pool._cut_thing(scene, rng, 64)
        assert cut is not None
        image, label = cut
        assert image.shape == (64, 64, 3)
        assert int(label) in scene.things
