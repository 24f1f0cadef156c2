"""Arrays as masks; what does not fit is in `tests/data/test_masks_in.py`."""

import numpy as np
import pytest

from segtune.data.masks.arrays import sized
from segtune.errors import SegtuneError


@pytest.mark.parametrize("inside", [1, 255, 1.0, True])
def test_zero_and_one_other_value(inside):
    mask = np.array([[0, inside], [inside, 0]])
    assert sized(mask, (2, 2), "masks").tolist() == [[[False, True], [True, False]]]


def test_other_values_are_refused():
    with pytest.raises(SegtuneError, match=r"mine are .* from 0 to 2; threshold them first"):
        sized(np.array([[0, 1], [2, 0]]), (2, 2), "mine")
