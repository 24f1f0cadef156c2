import pickle

import numpy as np
import pytest

from segtune.data.synthetic.surfaces import SURFACES, TilePool


@pytest.fixture(scope="module")
def tiles():
    return TilePool(0, variants=1, side=128)


@pytest.mark.parametrize("stuff", SURFACES)
def test_surface_has_texture_and_uses_the_range(stuff, tiles):
    pixels = np.asarray(tiles.tile(stuff, 0))
    assert pixels.shape == (128, 128, 3)
    assert pixels.std(axis=(0, 1)).mean() > 3
    assert 20 < pixels.mean() < 250


def test_surfaces_differ_from_each_other(tiles):
    means = [np.asarray(tiles.tile(stuff, 0)).mean(axis=(0, 1)) for stuff in SURFACES]
    gaps = [np.abs(a - b).sum() for i, a in enumerate(means) for b in means[:i]]
    assert min(gaps) > 12


def test_cut_has_the_wanted_size_and_depends_on_the_generator_only(tiles):
    cuts = [
        tiles.cut_surface("grass", np.random.default_rng(5), (20, 30), scale=1.5) for _ in range(2)
    ]
    assert cuts[0].shape == (20, 30, 3)
    assert cuts[0].dtype == np.float32
    np.testing.assert_array_equal(*cuts)


def test_cut_larger_than_the_tile_is_enlarged(tiles):
    assert tiles.cut_surface("sky", np.random.default_rng(0), (300, 200), scale=4).shape[0] == 300


def test_pickled_pool_renders_the_same_tiles_and_carries_none(tiles):
    tiles.tile("brick", 0)
    dump = pickle.dumps(tiles)
    assert len(dump) < 500
    np.testing.assert_array_equal(
        np.asarray(pickle.loads(dump).tile("brick", 0)), np.asarray(tiles.tile("brick", 0))
    )
