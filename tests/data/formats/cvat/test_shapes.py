import numpy as np
import pytest

from segtune.data.formats.cvat.shapes import points_of, run_lengths, unpacked
from segtune.data.masks.shapes import ShapeError


def test_run_lengths_come_back():
    random = np.random.default_rng(0)
    for _ in range(300):
        mask = random.random(tuple(random.integers(1, 9, 2))) < random.random()
        assert (unpacked(run_lengths(mask), mask.shape) == mask).all()


@pytest.mark.parametrize("text", ["", "1", "9,-5", "a", "3,2", "99999999999999999999999"])
def test_bad_run_lengths(text):
    with pytest.raises(ShapeError, match="run lengths"):
        unpacked(text, (2, 2))


def test_bad_points():
    for text in ("1,2;3", "a,b", "1,2,3"):
        with pytest.raises(ShapeError, match="point"):
            points_of(text)
