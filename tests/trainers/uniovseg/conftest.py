"""Pictures of blocks with label maps as a plain folder, and a recipe of the smallest sizes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.trainers.uniovseg.masks_recipe import MasksRecipe, make_recipe

SIZES = {
    "clip": "random",
    "hidden": 32,
    "num_heads": 4,
    "pixel_layers": 1,
    "pixel_feedforward": 32,
    "decoder_layers": 2,
    "feedforward": 32,
    "groups": 8,
    "canvas": 64,
    "grid": 3,
    "max_masks": 5,
    "num_points": 64,
    "steps": 3,
    "batch": 2,
    "lr": 1e-3,
    "workers": 2,
    "save_every": 1,
}


def labels_of(index: int) -> np.ndarray:
    """Two blocks of one class on another, and a border without a label."""
    labels = np.zeros((48, 64), np.uint8)
    labels[5:25, 5 + index : 25 + index] = 1
    labels[30:44, 40:60] = 1
    labels[:2] = 255
    return labels


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> str:
    root: Path = tmp_path_factory.mktemp("blocks")
    for name in ("images/train", "labels/train"):
        (root / name).mkdir(parents=True)
    colors = np.zeros((256, 3), np.uint8)
    colors[:2] = (60, 140, 60), (220, 40, 40)
    for index in range(5):
        labels = labels_of(index)
        Image.fromarray(colors[labels]).save(root / f"images/train/{index}.png")
        Image.fromarray(labels).save(root / f"labels/train/{index}.png")
    (root / "classes.txt").write_text("grass\nstar\n")
    return str(root)


@pytest.fixture
def recipe(folder) -> MasksRecipe:
    return make_recipe({**SIZES, "data": folder})
