"""Exports of CVAT for images: every kind of shape, layers, groups, subsets, and bad ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats import dataset_splits, open_dataset
from segtune.errors import DataError
from segtune.types import IGNORE
from tests.data import trees

BOX = np.zeros(trees.SIZE, bool)
BOX[1:4, 1:5] = True


@pytest.mark.parametrize(
    "shape",
    [
        '<box label="cat" xtl="1.0" ytl="1.0" xbr="5.0" ybr="4.0" z_order="0"><attribute '
        'name="age">3</attribute></box>',
        '<polygon label="cat" points="1.0,1.0;5.0,1.0;5.0,4.0;1.0,4.0"></polygon>',
        '<mask label="cat" rle="0, 12" left="1" top="1" width="4" height="3"></mask>',
        '<mask label="cat" rle="6, 4, 1, 4, 1, 4" left="0" top="0" width="5" height="4"></mask>',
        '<box label="cat" xtl="1.5" ytl="0.5" xbr="4.5" ybr="4.5" rotation="90.0"></box>',
    ],
)
def test_shapes(tmp_path: Path, shape: str) -> None:
    trees.cvat(tmp_path, shape)
    dataset = open_dataset(tmp_path)
    assert dataset.vocabulary.names == ("dog", "cat")
    assert (dataset[0].instances[0].mask == BOX).all()
    assert (dataset[0].semantic == np.where(BOX, 1, IGNORE)).all()
    assert open_dataset(tmp_path / "annotations.xml").sample_id(0) == "a"


def test_ellipses_are_turned_as_on_the_screen(tmp_path: Path) -> None:
    shape = '<ellipse label="cat" cx="4" cy="3" rx="3" ry="1" rotation="45"></ellipse>'
    trees.cvat(tmp_path, shape)
    mask = open_dataset(tmp_path)[0].instances[0].mask
    assert (mask[4, 5], mask[1, 2], mask[4, 2], mask[1, 5]) == (True, True, False, False)


def test_layers_and_groups(tmp_path: Path) -> None:
    shapes = (
        '<box label="dog" xtl="0" ytl="0" xbr="2" ybr="2" z_order="1"></box>'
        '<box label="cat" xtl="0" ytl="0" xbr="8" ybr="1" z_order="0" group_id="3"></box>'
        '<box label="cat" xtl="6" ytl="4" xbr="8" ybr="6" z_order="0" group_id="3"></box>'
        '<polyline label="dog" points="1,1;2,2"></polyline>'
    )
    trees.cvat(tmp_path, shapes)
    dataset = open_dataset(tmp_path)
    cat, dog = dataset[0].instances
    assert (int(cat.mask.sum()), int(dog.mask.sum())) == (12, 4)
    assert dataset[0].semantic[0, 0] == 0
    assert [each.why for each in dataset.left_out] == ["a polyline, which is no region"]


def test_where_images_lie(tmp_path: Path) -> None:
    trees.cvat(tmp_path, name="street/a.jpg", image='subset="Validation"')
    assert dataset_splits(tmp_path) == ("val",)
    assert open_dataset(tmp_path, split="val")[0].image == tmp_path / "images" / "street" / "a.jpg"
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    with pytest.raises(
        DataError, match=r"none of the images of .* is found, the first is street/a"
    ):
        open_dataset(tmp_path)
    moved = open_dataset(f"{tmp_path}?images={tmp_path / 'elsewhere'}")
    assert len(moved) == 1


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ('<box label="cat" xtl="1"></box>', r"image a.jpg, box 0 \(cat\) has no 'ytl'"),
        ('<box label="cat" xtl="x" ytl="1" xbr="5" ybr="4"></box>', "has xtl='x'"),
        ('<polygon label="cat" points="1,1;2,2"></polygon>', "polygon of 2 points"),
        ('<polygon label="cat" points="1,1;2,nan;3,3"></polygon>', "NaN"),
        ('<mask label="cat" rle="3" left="0" top="0" width="2" height="2"></mask>', "fill its box"),
        ('<mask label="cat" rle="4" left="0" top="0" width="2" height="-2"></mask>', "2x-2"),
        ('<mask label="cat" rle="0,1" left="9" top="0" width="1" height="1"></mask>', "outside"),
        ('<box label="bird" xtl="1" ytl="1" xbr="5" ybr="4"></box>', "draws 'bird', which is not"),
        ("<box", "is not valid XML"),
        ("<track></track>", "is 'CVAT for video'; export the task as 'CVAT for images 1.1'"),
    ],
)
def test_bad_shapes(tmp_path: Path, shape: str, message: str) -> None:
    trees.cvat(tmp_path, shape)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path)[0]
