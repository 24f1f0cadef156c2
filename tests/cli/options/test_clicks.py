"""What `--points` and `--boxes` mean, written out or in a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from segtune.cli.images import ImageFile
from segtune.cli.options.clicks import boxes, points
from segtune.errors import DataError, SegtuneError

IMAGE = ImageFile("a", Path("photos/a.jpg"))


@pytest.mark.parametrize(
    ("text", "coords", "labels"),
    [
        ("120,80", [[(120, 80)]], [[1]]),
        ("120,80; 40,60,-", [[(120, 80), (40, 60)]], [[1, 0]]),
        ("120,80,+;40,60,-;", [[(120, 80), (40, 60)]], [[1, 0]]),
        ("1,2 | 3.5,4", [[(1, 2)], [(3.5, 4)]], [[1], [1]]),
        ("1,2;3,4,- | 5,6", [[(1, 2), (3, 4)], [(5, 6)]], [[1, 0], [1]]),
    ],
)
def test_points(text, coords, labels):
    pointing = points(text)
    assert pointing.arguments(pointing.at(IMAGE)) == (coords, labels)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2,3,4", [(1, 2, 3, 4)]),
        ("1,2,3,4; 5,6,7,8;", [(1, 2, 3, 4), (5, 6, 7, 8)]),
        ("1,2,3,4 | 5,6,7,8", [(1, 2, 3, 4), (5, 6, 7, 8)]),
    ],
)
def test_boxes(text, expected):
    pointing = boxes(text)
    assert pointing.arguments(pointing.at(IMAGE)) == (expected,)


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (points, "120", "--points '120' is not understood; type \"120,80\""),
        (points, "a,b", "is not understood"),
        (points, "1,2,3", "is not understood"),
        (points, "1,nan", "is not understood"),
        (points, "", "an object without points"),
        (points, "1,2 |", "an object without points"),
        (points, "1,2,-", "an object without a positive point"),
        (points, "1,2 | 3,4,-", "an object without a positive point"),
        (boxes, "1,2,3", "--boxes '1,2,3' is not understood"),
        (boxes, ";", "an object without boxes"),
    ],
)
def test_what_is_not_understood(read, text, message):
    with pytest.raises(SegtuneError, match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_a_file_tells_points_by_image(tmp_path):
    path = tmp_path / "clicks.json"
    content = {"a.jpg": [[1, 2, 1], [3, 4, 0]], "b": [[[5, 6]], [[7, 8, 1]]], "c/d.png": [[9, 9]]}
    path.write_text(json.dumps(content))
    pointing = points(str(path))

    def at(image: ImageFile):
        prompts = pointing.at(image)
        return None if prompts is None else pointing.arguments(prompts)

    assert at(IMAGE) == ([[(1, 2), (3, 4)]], [[1, 0]])
    assert at(ImageFile("b", Path("b.png"))) == ([[(5, 6)], [(7, 8)]], [[1], [1]])
    assert at(ImageFile("d", Path("c/d.png"))) == ([[(9, 9)]], [[1]])
    assert at(ImageFile("e", Path("e.png"))) is None
    path.write_text(json.dumps({"a": [[1, 2, 3, 4], [5, 6, 7, 8]]}))
    assert boxes(str(path)).at(IMAGE) == [[(1, 2, 3, 4)], [(5, 6, 7, 8)]]


def test_a_file_of_windows_and_folders_with_the_same_names(tmp_path):
    path = tmp_path / "clicks.json"
    content = {"cam1\\a.jpg": [[1, 2]], "cam2\\a.jpg": [[3, 4]], "a-2": [[5, 6]]}
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    images = (Path("cam1/a.jpg"), Path("cam2/a.jpg"))
    pointing = replace(points(str(path)), images=images)
    found = [
        pointing.at(ImageFile(name, path)) for name, path in zip(("a", "a-2"), images, strict=True)
    ]
    assert found == [[[(1, 2, 1)]], [[(3, 4, 1)]]]


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (points, "{", "is not valid JSON"),
        (points, "[]", "holds no points; expected"),
        (points, "{}", "holds no points"),
        (points, '{"a": []}', "a has no points"),
        (points, '{"a": [[1, 2, 5]]}', "label 1 on the object and 0 beside it"),
        (points, '{"a": [[1]]}', "expected .x, y. or"),
        (points, '{"a": [[1, "x"]]}', "expected pixels of the image"),
        (points, '{"a": [[1, 2, 0]]}', "no positive point"),
        (points, '{"a": 3}', "a has no points"),
        (boxes, '{"a": [[1, 2, 3]]}', "has the box"),
        (boxes, '{"a": [[1, 2, 3, NaN]]}', "expected pixels of the image"),
        (boxes, "3", "holds no boxes"),
    ],
)
def test_files_that_are_wrong(tmp_path, read, content, message):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read(str(path))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_missing():
    with pytest.raises(FileNotFoundError, match="check the path of --points"):
        points("none.json")
