"""Which images of a split a report shows, and what it calls them."""

import math

import numpy as np
import pytest

from segtune.data.samples import as_segmentation
from segtune.eval.examples import ranked, reduced
from segtune.types import Instance, Sample, Segmentation, Vocabulary


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


def test_reduced_segments() -> None:
    mask = np.zeros((8, 8), bool)
    mask[0:4, 0:4] = True
    dot = np.zeros((8, 8), bool)
    dot[3, 7] = True
    image = np.zeros((8, 8, 3), np.uint8)
    sample = Sample("a", image, instances=(Instance(0, mask), Instance(1, dot)))
    small = reduced(as_segmentation(sample, Vocabulary.of("a", "b")), (4, 4))
    assert [segment.class_id for segment in small.segments] == [0]
    assert small.segments[0].box_px == (0, 0, 2, 2)
    assert small.semantic is None


def test_reduced_maps() -> None:
    labels = np.arange(48).reshape(6, 8).astype(np.int32)
    large = Segmentation((6, 8), Vocabulary.of("a"), semantic=labels)
    small = reduced(large, (3, 4))
    assert small.size == (3, 4)
    np.testing.assert_array_equal(small.semantic, labels[::2, ::2])
