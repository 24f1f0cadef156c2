"""What users mean by points and boxes, and what is refused in one line."""

import numpy as np
import pytest
import torch

from segtune.errors import SegtuneError
from segtune.predict.clicks import Boxes, Clicks, check_inside, read_boxes, read_clicks


@pytest.mark.parametrize(
    ("points", "labels", "expected"),
    [
        ((3, 4), None, [([[3, 4]], [1])]),
        ((3, 4), 1, [([[3, 4]], [1])]),
        ((3, 4), np.int64(1), [([[3, 4]], [1])]),
        ((3, 4), np.ones(1)[0], [([[3, 4]], [1])]),
        ((3, 4), np.array(1), [([[3, 4]], [1])]),
        ((3, 4), torch.tensor(1), [([[3, 4]], [1])]),
        (torch.tensor([[3, 4]]), torch.tensor([1]), [([[3, 4]], [1])]),
        ([(3, 4)], None, [([[3, 4]], [1])]),
        ([(3, 4), (5, 6)], None, [([[3, 4]], [1]), ([[5, 6]], [1])]),
        (np.array([[3, 4], [5, 6]]), [1, 1], [([[3, 4]], [1]), ([[5, 6]], [1])]),
        ([[(3, 4), (5, 6)]], [[0, 1]], [([[3, 4], [5, 6]], [0, 1])]),
        ([[(3, 4), (5, 6)]], [[1, -1]], [([[3, 4]], [1])]),
        (
            [[(3, 4), (5, 6)], [(7, 8)]],
            [[1, 0], [1]],
            [([[3, 4], [5, 6]], [1, 0]), ([[7, 8]], [1])],
        ),
        (np.ones((2, 3, 2)), np.ones((2, 3)), [(np.ones((3, 2)), [1, 1, 1])] * 2),
        ([], None, []),
        (np.zeros((0, 2)), None, []),
    ],
)
def test_points(points, labels, expected):
    clicks = read_clicks(points, labels)
    assert len(clicks) == len(expected)
    for (coords, marks), given, label in zip(
        expected, clicks.points_px, clicks.labels, strict=True
    ):
        assert given.dtype == np.float32
        assert np.array_equal(given, coords)
        assert np.array_equal(label, marks)


@pytest.mark.parametrize(
    ("points", "labels", "message"),
    [
        ([(3, 4, 5)], None, "points are not P finite"),
        ([(3, float("nan"))], None, "points are not P finite"),
        ([("a", "b")], None, "points are not P finite"),
        ([[(3, 4), (5,)]], None, "points are not P finite"),
        ([(3, 4)], [0], "object 1 has no positive point; put all clicks of one object into one"),
        ([[(3, 4)], []], None, "object 2 has no positive point"),
        ([(3, 4)], [[1, 1]], "give one label per point"),
        ([(3, 4), (5, 6)], [1], "give one label per point"),
        ([(3, 4)], [2], "use 1, 0 and -1"),
    ],
)
def test_points_that_make_no_sense(points, labels, message):
    with pytest.raises(SegtuneError, match=message) as caught:
        read_clicks(points, labels)
    assert "\n" not in str(caught.value)


def test_boxes():
    assert read_boxes((1, 2, 3, 4)).boxes_px.tolist() == [[1, 2, 3, 4]]
    assert read_boxes([(1, 2, 3, 4), (5, 6, 7, 8)]).boxes_px.shape == (2, 4)
    assert len(read_boxes([])) == 0
    with pytest.raises(SegtuneError, match="boxes are not P finite"):
        read_boxes([(1, 2, 3)])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (read_clicks([(0, 0), (7.9, 3.9)]), None),
        (read_clicks([]), None),
        (read_clicks([(8, 2)]), r"point \(8, 2\) lies outside of the image of 8x4"),
        (read_clicks([(2, 4)]), "outside"),
        (read_clicks([(-1, 2)]), "outside"),
        (read_boxes([(0, 0, 8, 4)]), None),
        (read_boxes([(0, 0, 9, 4)]), r"box \(0, 0, 9, 4\) reaches outside of the image of 8x4"),
        (read_boxes([(0, -1, 3, 4)]), "outside"),
        (read_boxes([(5, 1, 3, 4)]), "has no area"),
    ],
)
def test_the_border_of_an_image(asked: Clicks | Boxes, message):
    if message is None:
        check_inside(asked, (4, 8))
        return
    with pytest.raises(SegtuneError, match=message):
        check_inside(asked, (4, 8))
