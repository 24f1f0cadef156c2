"""Brush masks: what is written comes back, and bytes of Label Studio's own converter."""

import numpy as np
import pytest

from segtune.data.formats.labelstudio.brush import decoded, encoded
from segtune.data.masks.shapes import ShapeError

MADE_BY_LABEL_STUDIO = [0, 0, 0, 60, 57, 27, 254, 23, 0, 183, 255, 132, 192, 35, 255, 0]
"""Packed by `label_studio_converter.brush.encode_rle` of version 0.0.59."""


def test_brushes_come_back():
    random = np.random.default_rng(0)
    for _ in range(100):
        mask = random.random(tuple(random.integers(1, 30, 2))) < random.random()
        assert (decoded(encoded(mask), mask.shape) == mask).all()
    large = np.zeros((300, 400), bool)
    large[200:, 7] = True
    assert (decoded(encoded(large), large.shape) == large).all()


def test_bytes_of_label_studio():
    mask = np.zeros((3, 5), bool)
    mask[1, 1:4] = mask[2, 4] = True
    assert (decoded(MADE_BY_LABEL_STUDIO, (3, 5)) == mask).all()


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        ([], "cut off"),
        ([0, 0, 0], "cut off"),
        ([300], "no bytes"),
        (["a"], "no bytes"),
        (encoded(np.ones((2, 2), bool)), "4 pixels on an image of 3x2"),
        (encoded(np.eye(3, 2, dtype=bool).T)[:-2], "cut off"),
    ],
)
def test_damaged_ones(packed, message):
    with pytest.raises(ShapeError, match=message):
        decoded(packed, (2, 3))
