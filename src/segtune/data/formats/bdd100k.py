"""BDD100K semantic segmentation (the 10K images), with the 19 Cityscapes classes.

    images/10k/{train,val}/*.jpg   labels/sem_seg/masks/{train,val}/*.png    0..18, 255 unlabelled
    seg/images/{train,val}/*.jpg   seg/labels/{train,val}/*_train_id.png     the older release

Images and labels are paired by name: not every image of the 10K has a label.
"""

from __future__ import annotations

from pathlib import Path

from segtune.data.folders import choose_split, find_files, has_files, named_as, pair_by_stem
from segtune.data.labels import ValueMap
from segtune.data.samples import IndexedDataset, Record, SemanticLoader
from segtune.types import Vocabulary
from segtune.vocabulary.builtin import builtin

RELEASES = (
    ("images/10k", "labels/sem_seg/masks", ""),
    ("seg/images", "seg/labels", "_train_id"),
)
"""Folder of images, folder of labels, and ending of the label stems."""


def detect(path: Path) -> float:
    """Returns 1 where `path` has the folders of either release, else 0."""
    return float(bool(splits(path)))


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have images and labels."""
    return tuple(split for split in ("train", "val") if _release(path, split) is not None)


def _release(path: Path, split: str) -> tuple[Path, Path, str] | None:
    for images, labels, ending in RELEASES:
        folders = path / images / split, path / labels / split
        if all(has_files(folder) for folder in folders):
            return *folders, ending
    return None


def read(
    path: Path, *, split: str | None = None, vocabulary: Vocabulary | None = None
) -> IndexedDataset[Record]:
    """Returns one split of BDD100K.

    Args:
        path: the folder with `images/` and `labels/`, or with `seg/`.
        split: "train" or "val".
        vocabulary: other names for the 19 classes.
    """
    split = choose_split(splits(path), split, path=path)
    release = _release(path, split)
    assert release is not None  # choose_split found it
    images, labels, ending = release
    records = pair_by_stem(find_files(images), find_files(labels), label_ending=ending)
    names = named_as(builtin("cityscapes_19"), vocabulary, layout="bdd100k")
    return IndexedDataset("bdd100k", split, names, records, SemanticLoader(ValueMap.plain(19)))
