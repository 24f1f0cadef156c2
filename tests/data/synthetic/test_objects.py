import numpy as np
import pytest

from segtune.data.synthetic.attributes import COLOURS, Composition, compositions
from segtune.data.synthetic.objects import (
    COLOUR_HSV,
    Light,
    Pose,
    draw_object,
    paint,
    sample_colours,
    sample_pose,
)

LIGHT = Light((0.0, -1.0), 1.0)
STILL = ((0.0, 1.0, 0.0), (0.0, 1.0, 0.0))


def test_circle_covers_the_area_it_should():
    pose = Pose((32.0, 32.0), 20.0, 0.3, (1.0, 1.0), STILL)
    circle = Composition("plain", "red", "circle")
    patch = draw_object(circle, pose, LIGHT, np.random.default_rng(0), (64, 64))
    assert abs(patch.alpha.sum() / (np.pi * (0.9 * 20) ** 2) - 1) < 0.01


@pytest.mark.parametrize("composition", compositions()[::29], ids=lambda c: c.name)
def test_patch_is_cut_at_the_border_and_paints_only_its_window(composition):
    pose = sample_pose(np.random.default_rng(1), (3.0, 60.0), 18.0)
    patch = draw_object(composition, pose, LIGHT, np.random.default_rng(0), (64, 64))
    image = np.full((64, 64, 3), 0.5, np.float32)
    paint(image, patch)
    touched = (image != 0.5).any(-1)
    touched[patch.window] = False
    assert not touched.any()
    assert patch.alpha.min() >= 0
    assert patch.alpha.max() <= 1
    assert np.isfinite(patch.rgb).all()


def test_thing_outside_the_image_is_nothing():
    pose = sample_pose(np.random.default_rng(1), (-80.0, 20.0), 18.0)
    assert draw_object(compositions()[0], pose, LIGHT, np.random.default_rng(0), (64, 64)) is None


@pytest.mark.parametrize("colour", COLOURS)
def test_jittered_colour_stays_nearest_to_its_own_name(colour):
    def rgb(name):
        rng = np.random.default_rng(0)
        return np.mean([sample_colours(rng, name)[0] for _ in range(50)], axis=0)

    centres = np.stack([rgb(name) for name in COLOUR_HSV])
    rng = np.random.default_rng(7)
    for _ in range(100):
        first, second = sample_colours(rng, colour)
        nearest = np.linalg.norm(centres - first, axis=1).argmin()
        assert list(COLOUR_HSV)[nearest] == colour
        assert np.abs(first - second).max() > 0.25
