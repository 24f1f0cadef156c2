"""Colour-coded label maps in the folders of CamVid and of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segtune.data.formats import dataset_splits, open_dataset
from segtune.errors import DataError
from segtune.types import IGNORE
from tests.data import trees

TABLE = "name,r,g,b\nSky,128,128,128\nCar,64,0,128\nVoid,0,0,0\n"
COLORS = np.array([(128, 128, 128), (64, 0, 128), (0, 0, 0)], np.uint8)


def save(root: Path, image: str, label: str, *, table: str = "class_dict.csv") -> np.ndarray:
    values = trees.noise(0, 3)
    trees.save_image(root / image)
    trees.save_colors(root / label, COLORS[values])
    (root / table).write_text(TABLE)
    return np.where(values == 2, IGNORE, values)


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("train/0001TP_006690.png", "train_labels/0001TP_006690_L.png"),
        ("701_StillsRaw_full/0001TP_006690.png", "LabeledApproved_full/0001TP_006690_L.png"),
        ("train/a.jpg", "trainannot/a.png"),
        ("train/a.jpg", "train_masks/a_mask.png"),
        ("images/a.jpg", "labels/a.png"),
        ("images/train/a.jpg", "masks/train/a.png"),
        ("train/images/a.jpg", "train/masks/a.png"),
    ],
)
def test_folders(tmp_path: Path, image: str, label: str) -> None:
    expected = save(tmp_path, image, label)
    dataset = open_dataset(tmp_path)
    assert dataset.vocabulary.names == ("Sky", "Car")
    assert dataset[0].id == Path(image).stem
    assert (dataset[0].semantic == expected).all()


def test_both_splits_of_camvid(tmp_path: Path) -> None:
    save(tmp_path, "train/a.png", "train_labels/a_L.png")
    save(tmp_path, "val/b.png", "val_labels/b_L.png")
    assert dataset_splits(tmp_path) == ("train", "val")


def test_a_table_elsewhere(tmp_path: Path) -> None:
    expected = save(tmp_path / "data", "images/a.jpg", "labels/a.png")
    table = (tmp_path / "data" / "class_dict.csv").rename(tmp_path / "mine.csv")
    options = {"colors": str(table)}
    dataset = open_dataset(tmp_path / "data", layout="color_png", options=options)
    assert (dataset[0].semantic == expected).all()
    with pytest.raises(DataError, match="has no table of what its colours mean; give --colors"):
        open_dataset(tmp_path / "data", layout="color_png")
