"""A small labelled data set on disk, and a recipe of the smallest sizes for it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from segtune.trainers.maskformer.recipe import ProposalRecipe, make_recipe
from segtune.types import Concept, Sample, Vocabulary

SIZES = {
    "preset": "tiny",
    "fpn_width": 32,
    "mask_dim": 16,
    "hidden": 32,
    "feedforward": 32,
    "decoder_layers": 2,
    "num_queries": 6,
    "class_hidden": 24,
    "shorts": (48, 64, 80),
    "longest": 160,
    "crop": 64,
    "dense_size": 64,
    "steps": 2,
    "batch": 2,
    "warmup": 0,
    "workers": 2,
    "save_every": 1,
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Scenes:
    """Seven pictures; in each, a block of class 1 + i % 3 on class 0, and a stripe of class 4."""

    name, split = "scenes", "train"
    vocabulary = Vocabulary(
        (*map(Concept, ("grass", "star", "cross", "ring")), Concept("cow", group="unseen"))
    )

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> Sample:
        semantic = np.zeros((60, 72), np.int32)
        semantic[10:40, 5 + 3 * index : 45] = 1 + index % 3
        semantic[50:] = 4
        semantic[:5] = -1
        colors = np.array([[60, 140, 60], [220, 40, 40], [40, 40, 220], [230, 230, 40], [9, 9, 9]])
        return Sample(str(index), colors[semantic].astype(np.uint8), semantic)

    def sample_id(self, index: int) -> str:
        return str(index)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> str:
    """The scenes as a plain folder; stripes are unlabelled there, since folders have no tags."""
    root: Path = tmp_path_factory.mktemp("scenes")
    for name in ("images/train", "labels/train"):
        (root / name).mkdir(parents=True)
    for index in range(len(Scenes())):
        sample = Scenes()[index]
        labels = np.where(np.isin(sample.semantic, [-1, 4]), 255, sample.semantic)
        Image.fromarray(sample.pixels()).save(root / f"images/train/{index}.png")
        Image.fromarray(labels.astype(np.uint8)).save(root / f"labels/train/{index}.png")
    (root / "classes.txt").write_text("grass\nstar\ncross\nring\n")
    return str(root)


@pytest.fixture
def recipe(folder) -> ProposalRecipe:
    return make_recipe({**SIZES, "data": folder})
