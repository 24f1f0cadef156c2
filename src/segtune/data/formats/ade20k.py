"""ADE20K: the 150 classes of the challenge, and the 847 classes of the full data set.

    ADEChallengeData2016/images/{training,validation}/*.jpg
    ADEChallengeData2016/annotations/{training,validation}/*.png         0 unlabelled, then i + 1

    ADE20K_2021_17_01/images_detectron2/{training,validation}/*.jpg
    ADE20K_2021_17_01/annotations_detectron2/{training,validation}/*.tif 16-bit, 65535 unlabelled

The second tree is what the preparation script of the open-vocabulary benchmarks makes of the full
release; the raw `*_seg.png` of that release are not read.
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
from segtune.data.images import LABEL_SUFFIXES
from segtune.data.labels import ValueMap
from segtune.data.samples import IndexedDataset, Record, SemanticLoader
from segtune.types import Vocabulary
from segtune.vocabulary.builtin import builtin

ROOTS = {"ade20k_150": "ADEChallengeData2016", "ade20k_847": "ADE20K_2021_17_01"}


def detect(path: Path) -> float:
    """Returns 1 for the folder of either release or its parent, 0.6 for the same tree unnamed."""
    root, is_full = _root(path)
    if not splits(path):
        return 0.0
    return 1.0 if is_full or root.name.startswith("ADE") else 0.6


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have both images and labels."""
    found = []
    images, labels = _folders(path)
    for split in find_splits(images, labels):
        folder = split_folder(images, split)
        if folder is not None and folder.name in ("training", "validation"):
            found.append(split)
    return tuple(found)


def _root(path: Path) -> tuple[Path, bool]:
    """Returns the folder of the release, and whether it is the full one."""
    places = [path, *(path / name for name in ROOTS.values())]
    root = next((p for p in places if (p / "images_detectron2").is_dir()), None)
    if root is not None:
        return root, True
    return next((p for p in places if (p / "images").is_dir()), path), False


def _folders(path: Path) -> tuple[Path, Path]:
    root, is_full = _root(path)
    ending = "_detectron2" if is_full else ""
    return root / f"images{ending}", root / f"annotations{ending}"


def read(
    path: Path, *, split: str | None = None, vocabulary: Vocabulary | None = None
) -> IndexedDataset[Record]:
    """Returns one split of ADE20K with 150 or 847 classes, by the tree at `path`.

    Args:
        path: `ADEChallengeData2016`, `ADE20K_2021_17_01`, or a folder with one of the two.
        split: "train" or "val".
        vocabulary: other names for the classes.
    """
    split = choose_split(splits(path), split, path=path)
    is_full = _root(path)[1]
    name = "ade20k_847" if is_full else "ade20k_150"
    names = named_as(builtin(name), vocabulary, layout=name)
    values = ValueMap.plain(847) if is_full else ValueMap.of_values(range(1, 151), ignored=(0,))
    images, labels = (split_folder(folder, split) or folder for folder in _folders(path))
    records = pair_by_stem(find_files(images), find_files(labels, LABEL_SUFFIXES))
    return IndexedDataset(name, split, names, records, SemanticLoader(values))
