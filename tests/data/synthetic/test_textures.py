import numpy as np
import pytest

from segtune.data.synthetic.textures import PATTERNS


def _pattern(name, seed):
    axis = np.linspace(-1, 1, 48, dtype=np.float32)
    u, v = np.meshgrid(axis, axis)
    return PATTERNS[name](u, v, 2 / 48, np.random.default_rng(seed))


@pytest.mark.parametrize("texture", PATTERNS)
def test_pattern_leaves_most_of_the_thing_in_its_own_colour(texture):
    shares = [_pattern(texture, seed).mean() for seed in range(40)]
    assert max(shares) < 0.62
    assert np.mean(shares) <= 0.51


@pytest.mark.parametrize("texture", [name for name in PATTERNS if name != "plain"])
def test_pattern_shows_both_colours_and_varies(texture):
    first, second = _pattern(texture, 0), _pattern(texture, 1)
    assert first.min() == 0
    assert first.max() == 1
    assert first.dtype == np.float32
    assert np.abs(first - second).mean() > 0.05


def test_plain_is_plain():
    assert not _pattern("plain", 0).any()
