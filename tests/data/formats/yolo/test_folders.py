"""YOLO segmentation in its folder orders, and lines that are wrong."""

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


@pytest.mark.parametrize("order", ["{kind}/train/{name}", "train/{kind}/{name}", "{kind}/{name}"])
def test_folder_orders(tmp_path: Path, order: str) -> None:
    trees.yolo(tmp_path, order=order)
    dataset = open_dataset(tmp_path)
    assert dataset.vocabulary.names == ("dog", "cat")
    assert (dataset[0].semantic == np.where(BOX, 1, IGNORE)).all()
    assert (dataset[0].instances[0].mask == BOX).all()


@pytest.mark.parametrize("names", ["names:\n  0: dog\n  1: cat", "names: ['dog', 'cat']"])
def test_class_names(tmp_path: Path, names: str) -> None:
    trees.yolo(tmp_path)
    (tmp_path / "data.yaml").rename(tmp_path / "coco8-seg.yaml")
    (tmp_path / "coco8-seg.yaml").write_text(names)
    assert open_dataset(tmp_path).vocabulary.names == ("dog", "cat")
    (tmp_path / "coco8-seg.yaml").unlink()
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    assert open_dataset(tmp_path).vocabulary.names == ("dog", "cat")


def test_roboflow_calls_it_valid(tmp_path: Path) -> None:
    trees.yolo(tmp_path, order="train/{kind}/{name}")
    trees.yolo(tmp_path, order="valid/{kind}/{name}")
    assert dataset_splits(tmp_path) == ("train", "val")


def test_a_photograph_without_a_file_has_no_objects(tmp_path: Path) -> None:
    trees.yolo(tmp_path)
    trees.save_image(tmp_path / "images" / "train" / "b.jpg")
    (tmp_path / "labels" / "train" / "c.txt").write_text("")
    dataset = open_dataset(f"{tmp_path}?background=class")
    assert dataset.vocabulary.names == ("background", "dog", "cat")
    assert [len(dataset[i].instances) for i in range(2)] == [1, 0]
    assert (dataset[1].semantic == 0).all()
    assert dataset[0].semantic.max() == 2
    assert [each.name for each in dataset.left_out] == ["c.txt"]


def test_boxes_are_left_out_or_refused(tmp_path: Path) -> None:
    file = trees.yolo(tmp_path, lines=f"{trees.YOLO_BOX}\n0 0.5 0.5 0.2 0.2\n")
    dataset = open_dataset(tmp_path)
    assert len(dataset[0].instances) == 1
    assert [each.why for each in dataset.left_out] == ["a bounding box without a mask"]
    file.write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(DataError, match="has 1 bounding boxes and no polygons; make masks"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0 0 1 0 1 1", r"a\.txt: line 1 has the class 2; data\.yaml names 0 to 1"),
        ("1.5 0 0 1 0 1 1", "has the class 1.5"),
        ("cat 0 0 1 0 1 1", "line 1 is no class and numbers"),
        ("0 0 0 1 0 1", "5 numbers, which are no x, y pairs|polygon of"),
        ("0 1 0 nan 0 1 1", "NaN"),
        ("0 0 0 100 0 100 100", "shares of the image, 0 to 1"),
        ("0 0 0 1 0 1 1 1", "which are no x, y pairs"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, message: str) -> None:
    trees.yolo(tmp_path, lines=line)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path)[0]


def test_no_class_names(tmp_path: Path) -> None:
    trees.yolo(tmp_path)
    (tmp_path / "data.yaml").write_text("names:\n")
    with pytest.raises(DataError, match="has no class names; write names:"):
        open_dataset(tmp_path, layout="yolo")
    (tmp_path / "data.yaml").unlink()
    with pytest.raises(DataError, match="does not name its classes"):
        open_dataset(tmp_path, layout="yolo")
