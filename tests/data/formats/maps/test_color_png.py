"""Colour-coded label maps in the folders of CamVid and of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


CAMVID = """64 128 64\tAnimal
192 0 128\t\tArchway
0 128 192\tBicyclist
0 128 64\tBridge
128 0 0\t\tBuilding
64 0 128\tCar
64 0 192\tCartLuggagePram
192 128 64\tChild
192 192 128\tColumn_Pole
64 64 128\tFence
128 0 192\tLaneMkgsDriv
192 0 64\tLaneMkgsNonDriv
128 128 64\tMisc_Text
192 0 192\tMotorcycleScooter
128 64 64\tOtherMoving
64 192 128\tParkingBlock
64 64 0\t\tPedestrian
128 64 128\tRoad
128 128 192\tRoadShoulder
0 0 192\t\tSidewalk
192 128 128\tSignSymbol
128 128 128\tSky
64 128 192\tSUVPickupTruck
0 0 64\t\tTrafficCone
0 64 64\t\tTrafficLight
192 64 128\tTrain
128 128 0\tTree
192 128 192\tTruck_Bus
64 0 64\t\tTunnel
192 192 0\tVegetationMisc
0 0 0\t\tVoid
64 192 0\tWall
"""
"""label_colors.txt as it comes with the data: one tab or two."""


@pytest.mark.parametrize("with_table", [True, False])
def test_camvid_itself_with_and_without_its_table(tmp_path: Path, with_table: bool) -> None:
    images, maps = tmp_path / "701_StillsRaw_full", tmp_path / "LabeledApproved_full"
    images.mkdir()
    maps.mkdir()
    rows = [[int(n) for n in line.split("\t")[0].split()] for line in CAMVID.splitlines()]
    names = [line.split("\t")[-1] for line in CAMVID.splitlines()]
    Image.new("RGB", (32, 1)).save(images / "0001TP_006690.png")
    Image.fromarray(np.array([rows], np.uint8)).save(maps / "0001TP_006690_L.png")
    if with_table:
        (tmp_path / "label_colors.txt").write_text(CAMVID)
    dataset = open_dataset(tmp_path)
    semantic = dataset[0].semantic
    assert semantic is not None
    found = [None if i == IGNORE else dataset.vocabulary.names[i] for i in semantic[0].tolist()]
    assert found == [None if name == "Void" else name for name in names]
    assert len(dataset.vocabulary) == 31
