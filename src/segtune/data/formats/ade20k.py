"""ADE20K with the 150 classes of the challenge.

    ADEChallengeData2016/images/{training,validation}/*.jpg
    ADEChallengeData2016/annotations/{training,validation}/*.png            0 unlabelled, then i + 1
    ADEChallengeData2016/annotations_detectron2/{training,validation}/*.png i, 255 unlabelled

The published maps are read where both kinds are there. The 847 classes of the full data set are in
`ade20k_full.py`.
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

ROOT = "ADEChallengeData2016"
PUBLISHED, PREPARED = "annotations", "annotations_detectron2"


def detect(path: Path) -> float:
    """Returns 1 for the folder of the challenge or its parent, 0.6 for the same tree unnamed."""
    if not splits(path):
        return 0.0
    return 1.0 if _root(path).name.startswith("ADE") else 0.6


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have both images and labels."""
    found = []
    images, labels = _root(path) / "images", _labels(path)
    for split in find_splits(images, labels):
        folder = split_folder(images, split)
        if folder is not None and folder.name in ("training", "validation"):
            found.append(split)
    return tuple(found)


def _root(path: Path) -> Path:
    return next((p for p in (path, path / ROOT) if (p / "images").is_dir()), path)


def _labels(path: Path) -> Path:
    root = _root(path)
    return root / (PUBLISHED if (root / PUBLISHED).is_dir() else PREPARED)


def read(
    path: Path, *, split: str | None = None, vocabulary: Vocabulary | None = None
) -> IndexedDataset[Record]:
    """Returns one split of ADE20K with 150 classes.

    Args:
        path: `ADEChallengeData2016` or the folder that holds it.
        split: "train" or "val".
        vocabulary: other names for the classes.
    """
    split = choose_split(splits(path), split, path=path)
    name = "ade20k_150"
    names = named_as(builtin(name), vocabulary, layout=name)
    labels = _labels(path)
    is_published = labels.name == PUBLISHED
    values = ValueMap.of_values(range(1, 151), ignored=(0,)) if is_published else None
    of_split = [
        split_folder(folder, split) or folder for folder in (_root(path) / "images", labels)
    ]
    records = pair_by_stem(find_files(of_split[0]), find_files(of_split[1], LABEL_SUFFIXES))
    loader = SemanticLoader(values or ValueMap.plain(150))
    return IndexedDataset(name, split, names, records, loader)
