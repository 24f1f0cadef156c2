"""COCO-Stuff 164K: 171 classes for every pixel of COCO 2017.

    coco_stuff164k/images/{train,val}2017/*.jpg
    coco_stuff164k/annotations/{train,val}2017/*_labelTrainIds.png    0..170, 255 unlabelled

    coco/{train,val}2017/*.jpg      (or images/{train,val}2017)
    coco/stuffthingmaps/{train,val}2017/*.png                         as published: 0..181, 255
    coco/stuffthingmaps_detectron2/{train,val}2017/*.png              0..170, 255

The published maps have 182 values of which 11 never name a class; those become unlabelled.
"""

from __future__ import annotations

from pathlib import Path

from segtune.data.folders import (
    choose_split,
    find_files,
    find_splits,
    named_as,
    pair_by_stem,
    split_folder,
)
from segtune.data.labels import ValueMap
from segtune.data.samples import IndexedDataset, Record, SemanticLoader
from segtune.types import Vocabulary
from segtune.vocabulary.builtin import builtin, category_ids

MAPS = (
    ("annotations", "_labelTrainIds", False),
    ("stuffthingmaps_detectron2", "", False),
    ("stuffthingmaps", "", True),
)
"""Folder, ending of the file stems, and whether the values are the published ones."""

ROOTS = ("coco", "coco_stuff164k")
NUM_PUBLISHED = 182


def detect(path: Path) -> float:
    """Returns 1 where `path` has maps under one of the particular names, else 0."""
    return float(bool(splits(path)))


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have images and maps."""
    root = _root(path)
    return tuple(split for split in find_splits(_images(root)) if _maps(root, split) is not None)


def _root(path: Path) -> Path:
    """Returns `path`, or the folder in it with one of the usual names of the data set."""
    folders = {name for name, _, _ in MAPS}
    places = (path, *(path / name for name in ROOTS))
    return next((p for p in places if any((p / name).is_dir() for name in folders)), path)


def _images(root: Path) -> Path:
    return root / "images" if (root / "images").is_dir() else root


def _maps(root: Path, split: str) -> tuple[Path, str, bool] | None:
    """Returns the first entry of `MAPS` that is there, its folder being that of the split."""
    for name, ending, is_published in MAPS:
        folder = split_folder(root / name, split)
        if folder is not None and any(folder.glob(f"*{ending}.png")):
            return folder, ending, is_published
    return None


def read(
    path: Path, *, split: str | None = None, vocabulary: Vocabulary | None = None
) -> IndexedDataset[Record]:
    """Returns one split of COCO-Stuff with 171 classes.

    Args:
        path: the folder with the images and one of the folders in `MAPS`, or its parent.
        split: "train" or "val".
        vocabulary: other names for the classes, for example `zero_shot("coco156-15")`.
    """
    split = choose_split(splits(path), split, path=path)
    names = named_as(builtin("coco_stuff_171"), vocabulary, layout="coco_stuff")
    root = _root(path)
    images = split_folder(_images(root), split)
    maps = _maps(root, split)
    assert images is not None  # choose_split found both
    assert maps is not None
    folder, ending, is_published = maps
    records = pair_by_stem(find_files(images), find_files(folder), label_ending=ending)
    values = _published_values() if is_published else ValueMap.plain(len(names))
    return IndexedDataset("coco_stuff_171", split, names, records, SemanticLoader(values))


def _published_values() -> ValueMap:
    """Returns the meaning of the published values: a category id less one, or no class."""
    values = [category_id - 1 for category_id in category_ids("coco_stuff_171")]
    unnamed = set(range(NUM_PUBLISHED)) - set(values)
    return ValueMap.of_values(values, ignored=(255, *unnamed))
