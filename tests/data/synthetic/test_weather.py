import numpy as np
import pytest

from segtune.data.synthetic.dataset import SyntheticDataset
from segtune.data.synthetic.scene import default_tiles
from segtune.data.synthetic.weather import WEATHERS, apply_weather


@pytest.fixture(scope="module")
def clear():
    return SyntheticDataset("base", "val", size=(96, 128))


@pytest.mark.parametrize("weather", WEATHERS)
def test_weather_changes_the_image_and_nothing_else(weather, clear):
    dataset = SyntheticDataset(weather, "val", size=(96, 128))
    assert dataset.vocabulary.names == clear.vocabulary.names
    for index in range(3):
        before, after = clear[index], dataset[index]
        np.testing.assert_array_equal(before.semantic, after.semantic)
        np.testing.assert_array_equal(before.points, after.points)
        assert before.captions == after.captions
        for a, b in zip(before.instances, after.instances, strict=True):
            assert a.class_id == b.class_id
            np.testing.assert_array_equal(a.mask, b.mask)
        change = np.abs(before.image.astype(int) - after.image.astype(int)).mean()
        assert 8 < change < 130


@pytest.mark.parametrize("weather", WEATHERS)
def test_weather_is_deterministic_at_any_size_and_leaves_its_input_alone(weather):
    image = np.full((64, 80, 3), 120, np.uint8)
    results = [
        apply_weather(weather, image, np.random.default_rng(0), default_tiles()) for _ in range(2)
    ]
    np.testing.assert_array_equal(*results)
    assert results[0].dtype == np.uint8
    assert results[0].shape == image.shape
    assert (image == 120).all()


def test_each_weather_does_what_its_name_says(clear):
    def mean_of(weather, measure):
        pictures = [SyntheticDataset(weather, "val", size=(96, 128))[i].image for i in range(4)]
        return np.mean([measure(picture.astype(float)) for picture in pictures])

    def contrast(picture):
        return picture.std(axis=(0, 1)).mean()

    assert mean_of("night", np.mean) < 0.7 * mean_of("base", np.mean)
    assert mean_of("fog", contrast) < 0.8 * mean_of("base", contrast)
    assert mean_of("snow", np.mean) > mean_of("base", np.mean)
    assert mean_of("rain", contrast) < mean_of("base", contrast)
