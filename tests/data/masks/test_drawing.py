import numpy as np
import pytest

from segtune.data.masks.drawing import Bitmap, Stroke, check_drawing, draw, turned_points
from segtune.data.masks.frames import Frame
from segtune.data.masks.shapes import ShapeError
from segtune.storage.images import Header

SIDEWAYS = Frame(Header((6, 8), 6), (6, 8), orientation=6)


def on(size):
    return Frame(Header(size), size)


def test_strokes_have_their_border():
    mask = draw(Stroke("rectangle", ((3, 4), (1, 2))), on((6, 8)))
    assert (mask[2:5, 1:4].all(), mask.sum(), mask.dtype) == (True, 9, bool)
    assert draw(Stroke("line", ((0, 1), (7, 1))), on((6, 8))).sum() == 8
    assert set(np.unique(mask.view(np.uint8))) == {0, 1}


def test_bitmaps_are_cut_at_the_image():
    mask = draw(Bitmap(np.ones((3, 3), bool), left=-1, top=4), on((6, 8)))
    assert (mask[4:, :2].all(), mask.sum()) == (True, 4)
    with pytest.raises(ShapeError, match="outside of its image of 8x6"):
        draw(Bitmap(np.ones((3, 3), bool), left=8), on((6, 8)))


def test_all_are_turned_with_the_photograph():
    pixels = np.zeros((6, 8), bool)
    pixels[0, 0] = True
    for drawing in (Bitmap(pixels), Stroke("rectangle", ((0, 0), (0, 0)))):
        mask = draw(drawing, SIDEWAYS)
        assert (mask.shape, mask[0, 5], mask.sum()) == ((8, 6), True, 1)


def test_bitmaps_are_never_scaled():
    frame = Frame(Header((6, 8)), (6, 8), scale=(0.5, 0.5))
    with pytest.raises(ShapeError, match="its image was resized"):
        draw(Bitmap(np.ones((2, 2), bool)), frame)
    assert draw(Stroke("rectangle", ((2, 2), (6, 6))), frame).sum() == 9


def test_damaged_ones():
    with pytest.raises(ShapeError, match="line of 1 points; 2 are needed"):
        check_drawing(Stroke("line", ((0, 0),)))
    with pytest.raises(ShapeError, match="reaches far outside"):
        draw(Stroke("line", ((0, 0), (900, 0))), on((6, 8)))


def test_turns_are_clockwise_on_the_screen():
    assert np.allclose(turned_points(np.array([[1.0, 0.0]]), (0, 0), 90), [[0, 1]])
