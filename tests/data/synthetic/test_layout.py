import numpy as np
import pytest

from segtune.data.synthetic.attributes import STUFF
from segtune.data.synthetic.layout import paint_ground
from segtune.data.synthetic.surfaces import TilePool


@pytest.fixture(scope="module")
def grounds():
    tiles = TilePool(0, variants=1, side=256)
    return [paint_ground(tiles, np.random.default_rng(seed), (64, 96)) for seed in range(80)]


def test_one_to_four_regions_and_every_stuff_occurs(grounds):
    counts = [len(np.unique(ground.stuff_ids)) for ground in grounds]
    assert set(counts) == {1, 2, 3, 4}
    assert {i for ground in grounds for i in np.unique(ground.stuff_ids)} == set(range(len(STUFF)))


def test_ground_has_the_wanted_shape(grounds):
    assert all(ground.image.shape == (64, 96, 3) for ground in grounds)
    assert all(ground.stuff_ids.dtype == np.int32 for ground in grounds)


def test_sky_is_above(grounds):
    sky = STUFF.index("sky")
    skies = [ground.stuff_ids == sky for ground in grounds]
    rows = [np.nonzero(mask)[0].mean() for mask in skies if 0 < mask.mean() < 1]
    assert rows
    assert max(rows) < 32
