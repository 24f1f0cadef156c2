"""PASCAL Context on the images of VOC 2010, with 59, 60 or 459 classes.

    VOC2010/JPEGImages/*.jpg
    VOC2010/SegmentationClassContext/*.png                 0 background, 1..59 in alphabetical order
    VOC2010/ImageSets/SegmentationContext/{train,val}.txt
    VOC2010/annotations_detectron2/pc59_{train,val}/*.png  0..58 in the order of `context_59`, 255
    VOC2010/annotations_detectron2/pc459_{train,val}/*.tif 16-bit, 0..458, 65535

`?classes=59` (the default) leaves background unlabelled and has the order of `context_59` from
either tree; `?classes=60` makes background class 0, in alphabetical order; `?classes=459` has them
all. A vocabulary with 60 or 459 names asks for the same.
"""

from __future__ import annotations

from pathlib import Path

from segtune.data.folders import choose_split, find_files, named_as, pair_by_stem, pair_listed
from segtune.data.folders import read_stems as read_list
from segtune.data.formats.voc import find_root
from segtune.data.images import LABEL_SUFFIXES
from segtune.data.labels import ValueMap
from segtune.data.samples import IndexedDataset, Record, SemanticLoader
from segtune.errors import DataError
from segtune.types import IGNORE, Vocabulary
from segtune.vocabulary.builtin import builtin

ALPHABETICAL = "SegmentationClassContext"
PREPARED = "annotations_detectron2"
LISTS = "ImageSets/SegmentationContext"
CLASS_CHOICES = ("59", "60", "459")


def detect(path: Path) -> float:
    """Returns 1 where `path` has Context labels of either kind, else 0."""
    return float(bool(splits(path)))


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have labels with any number of classes."""
    root = find_root(path, "VOC2010")
    return tuple(s for s in ("train", "val") if any(_has(root, s, c) for c in CLASS_CHOICES))


def _has(root: Path, split: str, classes: str) -> bool:
    if classes != "60" and (root / PREPARED / f"pc{classes}_{split}").is_dir():
        return True
    listed = (root / LISTS / f"{split}.txt").is_file() and (root / ALPHABETICAL).is_dir()
    return classes != "459" and listed


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    classes: str | None = None,
) -> IndexedDataset[Record]:
    """Returns one split of PASCAL Context.

    Args:
        path: `VOC2010`, `VOCdevkit`, or the folder that holds the latter.
        split: "train" or "val".
        vocabulary: other names for the classes.
        classes: "59", "60" or "459".
    """
    if classes not in (None, *CLASS_CHOICES):
        raise DataError(f"classes={classes} is not known; use {', '.join(CLASS_CHOICES)}")
    split = choose_split(splits(path), split, path=path)
    root = find_root(path, "VOC2010")
    if classes is None:
        asked = str(len(vocabulary)) if vocabulary is not None else "59"
        only_all = not _has(root, split, "59") and vocabulary is None
        classes = asked if asked in CLASS_CHOICES and not only_all else "459" if only_all else "59"
    if not _has(root, split, classes):
        raise DataError(
            f"{root} has no {split} labels with {classes} classes; expected "
            f"{ALPHABETICAL}/ with {LISTS}/{split}.txt, or {PREPARED}/pc{classes}_{split}/"
        )
    name = f"context_{classes}"
    names = named_as(builtin(name), vocabulary, layout=name)
    prepared = root / PREPARED / f"pc{classes}_{split}"
    if prepared.is_dir():
        images = find_files(root / "JPEGImages")
        labels = find_files(prepared, LABEL_SUFFIXES)
        wanted = {label.stem for label in labels}
        records = pair_by_stem((image for image in images if image.stem in wanted), labels)
        values = ValueMap.plain(len(names))
    else:
        list_file = root / LISTS / f"{split}.txt"
        records = pair_listed(
            read_list(list_file),
            images=root / "JPEGImages",
            labels=root / ALPHABETICAL,
            list_file=list_file,
        )
        values = _from_alphabetical(classes)
    return IndexedDataset(name, split, names, records, SemanticLoader(values))


def _from_alphabetical(classes: str) -> ValueMap:
    """Returns the meaning of `SegmentationClassContext` values for 59 or 60 classes."""
    ids = {value: value for value in range(60)} | {255: IGNORE}
    if classes == "59":
        target = builtin("context_59")
        names = builtin("context_60").names
        ids |= {value: target.index(names[value]) for value in range(1, 60)} | {0: IGNORE}
    return ValueMap(ids)
