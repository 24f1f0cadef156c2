"""KITTI semantics: 200 street scenes with the classes of Cityscapes.

training/image_2/000000_10.png   training/semantic/000000_10.png    Cityscapes' label ids
training/instance/000000_10.png                                     not read
"""

from __future__ import annotations

from pathlib import Path

from segtune.data.folders import choose_split, find_files, has_files, named_as, pair_by_stem
from segtune.data.formats.cityscapes import NUM_RAW_IDS
from segtune.data.labels import ValueMap
from segtune.data.samples import IndexedDataset, Record, SemanticLoader
from segtune.types import Vocabulary
from segtune.vocabulary.builtin import builtin, category_ids


def detect(path: Path) -> float:
    """Returns 1 where both folders are there, else 0."""
    return float(bool(splits(path)))


def splits(path: Path) -> tuple[str, ...]:
    """Returns ("train",): the labels of the test set are held back."""
    folder = path / "training"
    return ("train",) if has_files(folder / "image_2") and has_files(folder / "semantic") else ()


def read(
    path: Path, *, split: str | None = None, vocabulary: Vocabulary | None = None
) -> IndexedDataset[Record]:
    """Returns the training images of KITTI with 19 classes.

    Args:
        path: the folder with `training/`.
        split: "train".
        vocabulary: other names for the classes.
    """
    split = choose_split(splits(path), split, path=path)
    folder = path / "training"
    raw_ids = category_ids("cityscapes_19")
    unused = set(range(NUM_RAW_IDS)) - set(raw_ids)
    records = pair_by_stem(find_files(folder / "image_2"), find_files(folder / "semantic"))
    names = named_as(builtin("cityscapes_19"), vocabulary, layout="kitti")
    values = ValueMap.of_values(raw_ids, ignored=(255, *unused))
    return IndexedDataset("kitti", split, names, records, SemanticLoader(values))
