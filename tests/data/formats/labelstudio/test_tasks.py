"""Exports of Label Studio: every kind of region, names of uploads, and bad ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats import open_dataset
from segtune.data.formats.labelstudio.brush import encoded
from segtune.errors import DataError
from segtune.types import IGNORE
from tests.data import trees

BOX = np.zeros(trees.SIZE, bool)
BOX[1:4, 1:5] = True
POINTS = [[12.5, 100 / 6], [62.5, 100 / 6], [62.5, 400 / 6], [12.5, 400 / 6]]
POLYGON = {"type": "polygonlabels", "value": {"points": POINTS, "polygonlabels": ["cat"]}}
BRUSH = {"format": "rle", "rle": encoded(BOX), "brushlabels": ["cat"]}


def changed(**value: object) -> dict:
    return {"type": "polygonlabels", "value": POLYGON["value"] | value}


@pytest.mark.parametrize(
    "region",
    [
        POLYGON,
        {"type": "brushlabels", "value": BRUSH},
        {"type": "polygon", "value": {"points": POINTS, "labels": ["cat"]}},
        {
            "type": "rectanglelabels",
            "value": {"x": 62.5, "y": 100 / 6, "width": 37.5, "height": 200 / 3, "rotation": 90}
            | {"rectanglelabels": ["cat"]},
        },
    ],
)
def test_regions(tmp_path: Path, region: dict) -> None:
    trees.labelstudio(tmp_path, region)
    dataset = open_dataset(tmp_path)
    assert (dataset.vocabulary.names, dataset.sample_id(0)) == (("cat",), "a")
    assert (dataset[0].semantic == np.where(BOX, 0, IGNORE)).all()


def test_ellipses_and_key_points(tmp_path: Path) -> None:
    ellipse = {"x": 50, "y": 50, "radiusX": 25, "radiusY": 50, "ellipselabels": ["cat"]}
    point = {"type": "keypointlabels", "value": {"x": 1, "y": 1, "keypointlabels": ["nose"]}}
    trees.labelstudio(tmp_path, {"type": "ellipselabels", "value": ellipse}, point)
    (item,) = open_dataset(tmp_path)[0].instances
    assert (item.mask[2, 2:6].all(), item.mask[0, 0], item.mask[0, 4]) == (True, False, True)


@pytest.mark.parametrize(
    "url",
    [
        "/data/upload/3/0a1b2c3d-a.jpg",
        "/data/upload/a.jpg",
        "/data/local-files/?d=photos/a.jpg",
        "s3://bucket/photos/a.jpg",
        "https://example.org/x/a.jpg?token=1",
    ],
)
def test_addresses(tmp_path: Path, url: str) -> None:
    trees.labelstudio(tmp_path, url=url)
    assert open_dataset(tmp_path)[0].pixels().shape == (6, 8, 3)


def test_skipped_tasks_and_predictions(tmp_path: Path) -> None:
    size = {"original_width": 8, "original_height": 6}
    result = [POLYGON | size]
    tasks = [
        {"data": {"image": "a.jpg"}, "annotations": [{"was_cancelled": True, "result": []}]},
        {"data": {"image": "b.jpg"}, "annotations": [], "predictions": [{"result": result}]},
    ]
    for name in ("a", "b"):
        trees.save_image(tmp_path / "images" / f"{name}.jpg")
    trees.save_json(tmp_path / "project.json", tasks)
    dataset = open_dataset(tmp_path)
    assert [dataset.sample_id(i) for i in range(len(dataset))] == ["b"]
    assert [each.why for each in dataset.left_out] == ["nobody has drawn on it"]


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (changed(points=[[1, 1]]), r"a\.jpg, region 0 \(cat\) has a polygon of 1 points"),
        (changed(points=[[1, "a"]] * 3), "no x, y pairs"),
        (changed(points=[[1, float("nan")]] * 3), "NaN"),
        ({"type": "brushlabels", "value": {"brushlabels": ["cat"]}}, "brush without 'rle'"),
        ({"type": "brushlabels", "value": BRUSH | {"rle": [1, 2]}}, "cut off"),
        ({"type": "ellipselabels", "value": {"ellipselabels": ["cat"]}}, "has x=None"),
        ({"type": "polygonlabels", "value": "x"}, "value is text; expected an object"),
    ],
)
def test_bad_regions(tmp_path: Path, region: dict, message: str) -> None:
    trees.labelstudio(tmp_path, region)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path)[0]


def test_bad_projects(tmp_path: Path) -> None:
    file = trees.labelstudio(tmp_path, {"type": "choices", "value": {"choices": ["cat"]}})
    with pytest.raises(DataError, match="has no regions with labels"):
        open_dataset(tmp_path)
    trees.labelstudio(tmp_path)
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(DataError, match=r"none of the images of .* is found, the first is 0a1b"):
        open_dataset(file)
