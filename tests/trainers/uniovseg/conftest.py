"""Pictures of blocks with label maps as a plain folder, and a recipe of the smallest sizes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segtune.backbones.uniovseg.files import save_uniovseg
from segtune.backbones.uniovseg.random import TINY, random_uniovseg
from segtune.trainers.bundled.clip.tokenizer import train_tokenizer
from segtune.trainers.uniovseg.captions_recipe import CaptionsRecipe
from segtune.trainers.uniovseg.captions_recipe import make_recipe as make_captions_recipe
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


@pytest.fixture(scope="session")
def stage1(tmp_path_factory) -> str:
    """The folder of a random model that reads words."""
    text = replace(TINY.clip.text, vocab_size=600, context_length=64)
    model = random_uniovseg(replace(TINY, clip=replace(TINY.clip, text=text)), seed=4)
    model.clip.tokenizer = train_tokenizer(
        ["a photo of a green grass and a red star."], vocab_size=600, context_length=64
    )
    return str(save_uniovseg(model, tmp_path_factory.mktemp("stage1")))


@pytest.fixture(scope="session")
def captions(folder, tmp_path_factory) -> str:
    """Captions of the blocks: no label takes part."""
    file = tmp_path_factory.mktemp("captions") / "captions.jsonl"
    shutil.copytree(Path(folder, "images", "train"), file.parent / "images")
    rows = [
        {
            "image": f"images/{index}.png",
            "captions": ["A red star and green grass.", f"Two stars near a {thing}."],
        }
        for index, thing in enumerate(("house", "tree", "car", "dog", "cat"))
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


@pytest.fixture
def captions_recipe(stage1, captions) -> CaptionsRecipe:
    return make_captions_recipe(
        {
            "model": stage1,
            "data": captions,
            "split": None,
            "templates": "single",
            "sizes": [64, 96],
            "settings": {"grid": 3, "min_iou": 0.0, "max_iou": 0.95, "max_inside": None},
            "steps": 4,
            "batch": 2,
            "lr": 0.01,
            "save_every": 1,
        }
    )
