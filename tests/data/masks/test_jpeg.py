"""Label maps saved as JPEG: the numbers that a user named, or a refusal. Masks: `test_files.py`."""

import numpy as np
import pytest

from segtune.data.masks.jpeg import nearest_declared
from segtune.errors import DataError


def test_the_nearest_declared_number():
    values = np.array([[0, 9, 118, 130, 250, 255]], np.uint8)
    read = nearest_declared(values, [255, 0, 128], path="a.jpg")
    assert read.tolist() == [[0, 0, 128, 128, 255, 255]]


@pytest.mark.parametrize(
    ("values", "declared", "message"),
    [
        (np.zeros((9, 9)), [0, 1], "they would have to be 48 apart"),
        (np.zeros((9, 9)), [255], "48 apart"),
        (np.full((9, 9), 100), [0, 255], "with values other than 0, 255"),
    ],
)
def test_what_cannot_be_told_apart(values, declared, message):
    with pytest.raises(DataError, match=message):
        nearest_declared(values.astype(np.uint8), declared, path="a.jpg")
