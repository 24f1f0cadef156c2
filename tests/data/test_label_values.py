"""What numbers in label maps mean by --label-values and --ignore-value."""

import numpy as np
import pytest

from segtune.data.label_values import value_map
from segtune.errors import DataError
from segtune.types import IGNORE, Vocabulary

THREE = Vocabulary.of("road", "car", "sky")
RAW = np.array([[0, 1, 2, 7, 255]])


@pytest.mark.parametrize(
    ("label_values", "ignore_value", "expected"),
    [
        ("0=road,1=car,2=sky,7=sky", None, [0, 1, 2, 2, IGNORE]),
        ("0=sky,1=road,2=road,7=Car,255=sky", None, [2, 0, 0, 1, 2]),
        ("0=road,1=car,2=sky", "7,255", [0, 1, 2, IGNORE, IGNORE]),
        (None, "7,255", [0, 1, 2, IGNORE, IGNORE]),
        ("1=car,2=sky,7=road,255=road", "0", [IGNORE, 1, 2, 0, 0]),
    ],
)
def test_meaning(label_values, ignore_value, expected):
    names, values = value_map(THREE, label_values=label_values, ignore_value=ignore_value)
    assert names is THREE
    assert values.decode(RAW).tolist() == [expected]


@pytest.mark.parametrize(
    ("label_values", "ignore_value", "message"),
    [
        ("road", None, "--label-values 'road' is not understood; type --label-values 0=back"),
        ("x=road", None, "is not understood"),
        ("0=", None, "is not understood"),
        ("70000=road", None, "is not understood"),
        ("0=road,0=car", None, "names 0 twice"),
        ("0=road,1=bus", None, "names 'bus', which is no class; the classes are road, car, sky"),
        ("0=road,1=car", "1", "1 is in --label-values and in --ignore-value"),
        (None, "x", "--ignore-value 'x' is not understood; type none, 0 or 0,255"),
        (None, "-1", "is not understood"),
    ],
)
def test_what_is_not_understood(label_values, ignore_value, message):
    with pytest.raises(DataError, match=message):
        value_map(THREE, label_values=label_values, ignore_value=ignore_value)


def test_a_number_without_a_meaning_is_refused():
    _, values = value_map(THREE, label_values="0=road,1=car", ignore_value="none")
    with pytest.raises(DataError, match="has the value 2, which is no class"):
        values.decode(RAW)
