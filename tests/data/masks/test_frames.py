"""Labels made on stored, upright or resized pixels land on the upright image."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from segtune.data.masks.frames import frame_of, turned
from segtune.data.masks.shapes import Rle, ShapeError, decode_shape
from segtune.errors import DataError
from segtune.storage.images import Header, read_header

SHAPE = [[30.0, 5.0, 38.0, 5.0, 38.0, 13.0]]
STORED, UPRIGHT = (30, 40), (40, 30)


def _save(path, pixels: np.ndarray, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_as_pillow_does(tmp_path, orientation):
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    path = _save(tmp_path / "a.png", pixels, orientation)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(turned(pixels, orientation), expected)
    for suffix in (".png", ".tif", ".jpg"):
        header = read_header(_save(tmp_path / f"a{suffix}", pixels, orientation))
        assert header == Header((3, 4), orientation)
        assert header.upright == expected.shape


@pytest.mark.parametrize("orientation", range(5, 9))
def test_labels_of_stored_pixels_are_turned(orientation):
    header = Header(STORED, orientation)
    expected = turned(decode_shape(SHAPE, STORED), orientation)
    frame = frame_of(header, STORED, what="a.jpg")
    assert np.array_equal(frame.mask(SHAPE), expected)
    runs = Rle([30, 40], [0, 30, 1170])  # the first column
    column = np.zeros(STORED, bool)
    column[:, 0] = True
    assert np.array_equal(frame.mask(runs), turned(column, orientation))


@pytest.mark.parametrize("stated", [UPRIGHT, (None, None), (0, 0), (40.0, None)])
def test_labels_of_the_upright_image_are_as_they_are(stated):
    frame = frame_of(Header(STORED, 6), stated, what="a.jpg")
    shape = [[5.0, 30.0, 13.0, 30.0, 13.0, 38.0]]
    assert np.array_equal(frame.mask(shape), decode_shape(shape, UPRIGHT))


@pytest.mark.parametrize("orientation", [1, 2, 3, 4])
def test_half_turns_and_mirrors_are_taken_as_upright(orientation):
    frame = frame_of(Header(STORED, orientation), STORED, what="a.jpg")
    assert np.array_equal(frame.mask(SHAPE), decode_shape(SHAPE, STORED))


def test_labels_of_a_smaller_or_larger_copy_are_scaled():
    double = [[2 * value for value in SHAPE[0]]]
    small = frame_of(Header((60, 80)), (30, 40), what="a.jpg")
    assert np.array_equal(small.mask(SHAPE), decode_shape(double, (60, 80)))
    large = frame_of(Header((30, 40)), (60, 80), what="a.jpg")
    assert np.array_equal(large.mask(double), decode_shape(SHAPE, (30, 40)))
    turned_too = frame_of(Header((60, 80), 8), (30, 40), what="a.jpg")
    assert np.array_equal(turned_too.mask(SHAPE), turned(decode_shape(double, (60, 80)), 8))
    upright = frame_of(Header((80, 60), 6), (30, 40), what="a.jpg")
    assert np.array_equal(upright.mask(SHAPE), decode_shape(double, (60, 80)))


@pytest.mark.parametrize("stated", [(375, 500), (1500, 2000), (375, 499), (100, 133)])
def test_rounded_sides_are_of_equal_proportions(stated):
    frame = frame_of(Header((3000, 4000)), stated, what="a.jpg")
    assert frame.drawn == (3000, 4000)


@pytest.mark.parametrize("stated", [(40, 40), (30, 41), (31, 40), (60, 70), (40, 30)])
def test_other_proportions_are_refused(stated):
    with pytest.raises(DataError, match=r"ann.json: the labels were made on .* image is 40x30"):
        frame_of(Header((30, 40)), stated, what="ann.json")


def test_exchanged_sides_are_named():
    with pytest.raises(DataError, match="made on 30x40, but the image is 40x30, with both exchang"):
        frame_of(Header((30, 40)), (40, 30), what="ann.json")


def test_masks_of_runs_are_not_scaled():
    frame = frame_of(Header((60, 80)), (30, 40), what="a.jpg")
    with pytest.raises(ShapeError, match="is a mask of 40x30 on an image of 80x60"):
        frame.mask(Rle([30, 40], [1200]))


def test_labels_outside_of_a_sideways_frame_are_refused():
    frame = frame_of(Header(STORED, 6), STORED, what="a.jpg")
    with pytest.raises(ShapeError, match=r"outside of the stated 40x30, which are the sides of"):
        frame.mask([[5.0, 30.0, 13.0, 30.0, 13.0, 38.0]])
