import numpy as np
import pytest

from segtune.data.synthetic.attributes import COLOURS, STUFF, Composition, compositions
from segtune.data.synthetic.objects import COLOUR_HSV, sample_colours
from segtune.data.synthetic.scene import compose_scene, render_crop, render_stuff_crop


def _choose(rng, count):
    return rng.integers(len(compositions()), size=count)


def _scene(seed, size=(96, 96)):
    return compose_scene(compositions(), _choose, np.random.default_rng(seed), size=size)


def test_same_generator_same_scene_and_another_one_differs():
    first, again, other = _scene(3), _scene(3), _scene(4)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.thing_map, again.thing_map)
    assert (first.image != other.image).any()


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (512, 96)])
def test_any_size(size):
    scene = _scene(0, size)
    assert scene.image.shape == (*size, 3)
    assert scene.image.dtype == np.uint8
    assert scene.thing_map.shape == scene.stuff_ids.shape == size


@pytest.mark.parametrize("size", [(63, 64), (64, 513)])
def test_size_out_of_range_says_the_range(size):
    with pytest.raises(ValueError, match="64 to 512"):
        _scene(0, size)


def test_labels_are_consistent_in_many_scenes():
    counts = []
    for seed in range(120):
        scene = _scene(seed)
        counts.append(len(scene.things))
        ids = np.unique(scene.thing_map)
        assert set(ids) - {-1} == set(range(len(scene.things)))
        for k, (x, y) in enumerate(scene.points):
            assert scene.thing_map[int(y), int(x)] == k
        assert scene.stuff_ids.min() >= 0
        assert scene.stuff_ids.max() < len(STUFF)
    assert min(counts) >= 2
    assert max(counts) <= 8
    assert len(set(counts)) >= 5


def test_masks_follow_the_pixels():
    """Plain things have their own colour inside the mask, eroded by shading only."""
    plain = [Composition("plain", colour, "circle") for colour in COLOURS]
    centres = np.stack(
        [sample_colours(np.random.default_rng(0), colour)[0] for colour in COLOUR_HSV]
    )
    hits = []
    for seed in range(12):
        scene = compose_scene(
            plain, lambda rng, n: rng.integers(len(plain), size=n), np.random.default_rng(seed)
        )
        for k, thing in enumerate(scene.things):
            mean = scene.image[scene.thing_map == k].mean(0) / 255
            mean = mean * centres.max(1, keepdims=True) / mean.max()
            hits.append(np.linalg.norm(centres - mean, axis=1).argmin() == thing)
    assert np.mean(hits) > 0.9


def test_crop_is_deterministic_and_filled_by_the_thing():
    star = Composition.parse("striped red star")
    first, again = (render_crop(star, np.random.default_rng(2)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.uint8


def test_crop_can_be_rendered_for_everything_at_any_fill():
    rng = np.random.default_rng(0)
    for composition in compositions():
        crop = render_crop(composition, rng, size=32)
        assert crop.shape == (32, 32, 3)
        assert crop.std() > 5


def test_crop_shows_the_stuff_it_was_told_to():
    rng = np.random.default_rng(0)
    ring = Composition.parse("plain blue ring")
    snowy = np.mean([render_crop(ring, rng, stuff="snow")[:6].mean() for _ in range(10)])
    earthy = np.mean([render_crop(ring, rng, stuff="soil")[:6].mean() for _ in range(10)])
    assert snowy > earthy + 60


@pytest.mark.parametrize("stuff", STUFF)
def test_stuff_crop(stuff):
    crop = render_stuff_crop(stuff, np.random.default_rng(0), size=48)
    assert crop.shape == (48, 48, 3)
    assert crop.dtype == np.uint8
