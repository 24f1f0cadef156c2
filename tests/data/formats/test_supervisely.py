"""Supervisely projects: every kind of object, datasets, and bad ones."""

from __future__ import annotations

import base64
import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.data.formats import dataset_splits, open_dataset
from segtune.errors import DataError
from segtune.types import IGNORE
from tests.data import trees

BOX = np.zeros(trees.SIZE, bool)
BOX[1:4, 1:5] = True


def packed(mask: np.ndarray) -> str:
    stream = io.BytesIO()
    Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).convert("1").save(stream, "PNG")
    return base64.b64encode(zlib.compress(stream.getvalue())).decode()


def thing(kind: str, exterior: list | None = None, interior: list | None = None) -> dict:
    points = {"exterior": exterior or [], "interior": interior or []}
    return {"id": 3, "classTitle": "cat", "geometryType": kind, "points": points}


@pytest.mark.parametrize(
    "given",
    [
        thing("polygon", [[1, 1], [4, 1], [4, 3], [1, 3]]),
        thing("rectangle", [[4, 3], [1, 1]]),
        thing("bitmap") | {"bitmap": {"data": packed(BOX[1:4, :5]), "origin": [0, 1]}},
    ],
)
def test_objects(tmp_path: Path, given: dict) -> None:
    trees.supervisely(tmp_path, given, thing("point", [[0, 0]]))
    dataset = open_dataset(tmp_path)
    assert dataset.vocabulary.names == ("dog", "cat")
    assert (dataset[0].semantic == np.where(BOX, 1, IGNORE)).all()
    assert len(dataset[0].instances) == 1


def test_borders_of_holes_belong_to_the_object(tmp_path: Path) -> None:
    outer, hole = [[0, 0], [6, 0], [6, 5], [0, 5]], [[1, 1], [4, 1], [4, 4], [1, 4]]
    trees.supervisely(tmp_path, thing("polygon", outer, [hole]))
    mask = open_dataset(tmp_path)[0].instances[0].mask
    assert (mask[1, 1], mask[2, 2], mask[3, 3], mask[4, 4]) == (True, False, False, True)
    assert mask.sum() == 42 - 4


def test_datasets_are_splits_or_all_of_it(tmp_path: Path) -> None:
    trees.supervisely(tmp_path / "a", dataset="train")
    trees.supervisely(tmp_path / "a", dataset="val")
    assert dataset_splits(tmp_path / "a") == ("train", "val")
    trees.supervisely(tmp_path / "b", dataset="day")
    trees.supervisely(tmp_path / "b", dataset="night").rename(tmp_path / "b/night/ann/a.json")
    dataset = open_dataset(tmp_path / "b")
    assert [dataset.sample_id(i) for i in range(len(dataset))] == ["day_a", "night_a"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (thing("polygon", [[1, 1]]), r"a\.jpg\.json: object 3 \(cat\) has a polygon of 1 points"),
        (thing("polygon", [[1]] * 3), "no x, y pair"),
        (thing("polygon", [[1, 1], [4, 1], [4, 3]], [[[1, 1]]]), "polygon of 1 points"),
        (thing("cloud"), "is a cloud, which is not known"),
        (thing("bitmap"), "without its pixels"),
        (thing("bitmap") | {"bitmap": {"data": "bm8=", "origin": [0, 0]}}, "no packed PNG"),
        (thing("polygon") | {"classTitle": "bird"}, "class that meta.json does not list"),
        ({"geometryType": "polygon"}, "has no 'classTitle'"),
    ],
)
def test_bad_objects(tmp_path: Path, given: dict, message: str) -> None:
    trees.supervisely(tmp_path, given)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path)[0]
