"""Colours as tools write them."""

import pytest

from segtune.vocabulary.colors import read_color


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("#804080", (128, 64, 128)),
        ("#80408080", (128, 64, 128)),
        (" #fA0 ", (255, 170, 0)),
        ("rgb(1, 2, 3)", (1, 2, 3)),
        ("rgba(1,2,3,0.5)", (1, 2, 3)),
        ("1, 2, 3", (1, 2, 3)),
        ("1 2 3", (1, 2, 3)),
        ([1, 2, 3], (1, 2, 3)),
        ((1.0, 2.0, 255.0, 0.5), (1, 2, 255)),
        (["1", "2", "3"], (1, 2, 3)),
        (None, None),
        ("", None),
        ("red", None),
        ("#12345", None),
        ([256, 0, 0], None),
        ([0.5, 0, 0], None),
        ([1, 2], None),
        ({"r": 1}, None),
        (7, None),
    ],
)
def test_read_color(value, expected):
    assert read_color(value) == expected
