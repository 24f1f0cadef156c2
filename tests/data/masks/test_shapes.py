"""Shapes decode as pycocotools does, and damaged ones are refused before it sees them."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from segtune.data.masks.shapes import Rle, ShapeError, check_shape, decode_shape, run_lengths

SIZE = (30, 40)
SQUARE = [[10.0, 5.0, 18.0, 5.0, 18.0, 13.0, 10.0, 13.0]]


def _packed(mask: np.ndarray) -> str:
    return coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode("ascii")


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (30, 40), (300, 200)])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_packed_rle_as_pycocotools(size, share):
    mask = np.random.default_rng(0).random(size) < share
    text = _packed(mask)
    assert np.array_equal(decode_shape(Rle(list(size), text), size), mask)
    lengths = run_lengths(text).tolist()
    assert np.array_equal(decode_shape(Rle(list(size), lengths), size), mask)


def test_large_runs():
    mask = np.zeros((4000, 5000), bool)
    mask[1000:3000, 1000:4999] = True
    assert np.array_equal(decode_shape(Rle([4000, 5000], _packed(mask)), (4000, 5000)), mask)


def test_polygons_as_pycocotools():
    parts = [*SQUARE, [0.0, 0.0, 6.5, 1.0, 3.0, 7.25]]
    expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(parts, *SIZE)))
    assert np.array_equal(decode_shape(parts, SIZE), expected.astype(bool))
    with_a_line = [*parts, [1.0, 2.0, 3.0, 4.0]]
    assert np.array_equal(decode_shape(with_a_line, SIZE), expected.astype(bool))


def test_a_polygon_may_reach_outside():
    assert decode_shape([[-5.0, -5.0, 45.0, -5.0, 45.0, 35.0, -5.0, 35.0]], SIZE).all()


NAN, INF = float("nan"), float("inf")
TRIANGLE = np.tri(*SIZE, dtype=bool)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([[NAN] * 6], "NaN or infinity"),
        ([[1.0, 1.0, INF, 1.0, 5.0, 5.0]], "NaN or infinity"),
        ([[1.0, 1.0, 5.0, 1.0, 5.0, 5.0, 9.0]], "a polygon of 7 numbers"),
        ([[1.0, 1.0, 5.0, 1.0]], "a polygon of 2 points; three or more"),
        ([[]], "a polygon of 0 points"),
        ([[1.0, 1.0, 1e9, 1.0, 5.0, 5.0]], "reaches to pixel 1000000000"),
        ([[1.0, 1.0, -1e9, 1.0, 5.0, 5.0]], "reaches to pixel -1000000000"),
        ([[1.0, 1.0, 5000.0, 1.0, 5.0, 5.0]], "pixel 5000 of an image of 40x30"),
        ([[50.0, 5.0, 60.0, 5.0, 60.0, 9.0]], "no polygon inside of its image of 40x30"),
        (Rle([30, 40], [-10, 20, 1190]), "negative run lengths"),
        (Rle([30, 40], [10, 20]), "do not fill the image"),
        (Rle([30, 40], []), "do not fill the image"),
        (Rle([30, 41], [1230]), "is a mask of 41x30 on an image of 40x30"),
        (Rle([30], [30]), "RLE of the size"),
        (Rle([0, 0], []), "RLE of the size"),
        (Rle([30, 40], ""), "do not fill the image"),
        (Rle([30, 40], _packed(TRIANGLE)[: len(_packed(TRIANGLE)) // 2]), "fill the|cut off"),
        (Rle([30, 40], _packed(TRIANGLE)[:-1]), "fill the|cut off"),
        (Rle([30, 40], "\x01\x02"), "letters that COCO does not use"),
        (Rle([30, 40], "é"), "letters that COCO does not use"),
        (Rle([30, 40], "o" * 30), "cut off"),
        (Rle([30, 40], "o" * 30 + "1"), "impossible run lengths"),
        (Rle([30, 40], "O"), "negative run lengths"),
    ],
)
def test_damaged_shapes(shape, message):
    with pytest.raises(ShapeError, match=message):
        decode_shape(shape, SIZE)


def test_what_can_be_seen_without_the_image_is_seen_early():
    for shape in ([[NAN] * 6], [[1.0] * 7], [[1.0] * 4], Rle([30, 40], [3]), [[1e9] * 6]):
        with pytest.raises(ShapeError):
            check_shape(shape)
