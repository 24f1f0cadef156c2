"""Which images of a split a report shows, and what it calls them."""

import math

import pytest

from segtune.eval.examples import ranked


def test_images_are_spread_from_the_worst_to_the_best() -> None:
    scores = {f"image {i}": i / 40 for i in range(41)} | {"unscored": math.nan}
    assert ranked(scores, 5) == {
        "image 0": "worst",
        "image 10": "25th percentile",
        "image 20": "median",
        "image 30": "75th percentile",
        "image 40": "best",
    }
    assert ranked(scores, ["image 3"]) == {"image 3": "chosen"}
    assert ranked({"unscored": math.nan}, 5) == {}


@pytest.mark.parametrize(
    ("place", "name"),
    [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (12, "12th"), (21, "21st")],
)
def test_percentiles_are_read_aloud(place: int, name: str) -> None:
    scores = {str(i): i / 100 for i in range(101)}
    shown = ranked(scores, 101)
    assert shown[str(place)] == f"{name} percentile"
