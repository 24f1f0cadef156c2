import numpy as np
import pytest

from segtune.errors import SegtuneError
from segtune.viz.pairs import CROP_SIDE, cut_out, draw_pairs
from segtune.viz.text import PAPER
from tests.data.test_pairs import encode_rle, pair


def square(x1, y1, x2, y2, size=(40, 60)):
    mask = np.zeros(size, bool)
    mask[y1:y2, x1:x2] = True
    return pair(size=size, rle=encode_rle(mask), box_px=(x1, y1, x2, y2))


def test_the_region_keeps_its_pixels_and_its_surroundings_fade():
    image = np.full((40, 60, 3), 10, np.uint8)
    crop = cut_out(image, square(20, 10, 30, 20), margin=0.5)
    assert crop.shape[0] == crop.shape[1] >= CROP_SIDE
    middle = crop.shape[0] // 2
    assert (crop[middle, middle] == 10).all()
    assert (crop[0, 0] > 150).all()


@pytest.mark.parametrize("box", [(0, 0, 60, 40), (59, 39, 60, 40), (0, 0, 1, 40)])
def test_regions_at_the_border_are_surrounded_by_paper(box):
    crop = cut_out(np.zeros((40, 60, 3), np.uint8), square(*box))
    assert crop.shape[0] == crop.shape[1]
    assert (crop == PAPER).all(-1).any()
    assert (crop == 0).all(-1).any()


@pytest.mark.parametrize("count", [1, 5, 6, 7])
def test_a_sheet_of_any_number(count):
    image = np.zeros((40, 60, 3), np.uint8)
    sheet = draw_pairs([(square(5, 5, 20, 20), image)] * count, width=600)
    assert (sheet.shape[1], sheet.dtype) == (600, np.uint8)


def test_nothing_to_draw():
    with pytest.raises(SegtuneError, match="nothing was mined"):
        draw_pairs([])
