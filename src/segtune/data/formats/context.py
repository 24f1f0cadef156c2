"""PASCAL Context on the images of VOC 2010, with 59, 60 or 459 classes.

    VOC2010/JPEGImages/*.jpg
    VOC2010/trainval/*.mat                                 as published: `LabelMap` 1..459
    VOC2010/pascalcontext_{train,val}.txt                  or one of the other files in `LISTS`

    VOC2010/SegmentationClassContext/*.png                 0 background, 1..59 in alphabetical order
    VOC2010/ImageSets/SegmentationContext/{train,val}.txt

    VOC2010/annotations_detectron2/pc59_{train,val}/*.png  0..58 in the order of `context_59`, 255
    VOC2010/annotations_detectron2/pc459_{train,val}/*.tif 16-bit, 0..458, 65535

`?classes=59` (the default) leaves background unlabelled and has the order of `context_59` from
every tree; `?classes=60` makes background class 0, in alphabetical order; `?classes=459` has them
all. A vocabulary with 60 or 459 names asks for the same. The prepared tree, the last one, is read
where it has the classes, then the alphabetical one, then the published maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segtune.data.folders import choose_split, find_files, named_as, pair_by_stem, pair_listed
from segtune.data.folders import read_stems as read_list
from segtune.data.formats.voc import find_root
from segtune.data.images import LABEL_SUFFIXES
from segtune.data.labels import ValueMap, check_size
from segtune.data.samples import IndexedDataset, Record, SemanticLoader
from segtune.errors import DataError
from segtune.types import IGNORE, Sample, Vocabulary
from segtune.vocabulary.builtin import builtin

PUBLISHED = "trainval"
ALPHABETICAL = "SegmentationClassContext"
PREPARED = "annotations_detectron2"
LISTS = (
    "ImageSets/SegmentationContext/{split}.txt",
    "pascalcontext_{split}.txt",
    "ImageSets/Main/{split}.txt",
)
"""Lists of a split, the first that is there; the last one comes with VOC 2010 itself."""
CLASS_CHOICES = ("59", "60", "459")
LABEL_MAP = "LabelMap"


def detect(path: Path) -> float:
    """Returns 1 where `path` has Context labels of any kind, else 0."""
    return float(bool(splits(path)))


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have labels with any number of classes."""
    root = find_root(path, "VOC2010")
    return tuple(s for s in ("train", "val") if any(_tree(root, s, c) for c in CLASS_CHOICES))


def _tree(root: Path, split: str, classes: str) -> Path | None:
    """Returns the folder with the label maps of a split, the one to be read first."""
    prepared = root / PREPARED / f"pc{classes}_{split}"
    if classes != "60" and prepared.is_dir():
        return prepared
    if _list(root, split) is None:
        return None
    if classes != "459" and (root / ALPHABETICAL).is_dir():
        return root / ALPHABETICAL
    has_maps = next((root / PUBLISHED).glob("*.mat"), None) is not None
    return root / PUBLISHED if has_maps else None


def _list(root: Path, split: str) -> Path | None:
    files = (root / name.format(split=split) for name in LISTS)
    return next((file for file in files if file.is_file()), None)


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
        only_all = vocabulary is None and _tree(root, split, "59") is None
        classes = asked if asked in CLASS_CHOICES and not only_all else "459" if only_all else "59"
    tree = _tree(root, split, classes)
    if tree is None:
        raise DataError(
            f"{root} has no {split} labels with {classes} classes; expected {PUBLISHED}/*.mat or "
            f"{ALPHABETICAL}/ with pascalcontext_{split}.txt, or {PREPARED}/pc{classes}_{split}/"
        )
    name = f"context_{classes}"
    names = named_as(builtin(name), vocabulary, layout=name)
    if tree.parent.name == PREPARED:
        labels = find_files(tree, LABEL_SUFFIXES)
        wanted = {label.stem for label in labels}
        images = (image for image in find_files(root / "JPEGImages") if image.stem in wanted)
        records = pair_by_stem(images, labels)
        loader = SemanticLoader(ValueMap.plain(len(names)))
        return IndexedDataset(name, split, names, records, loader)
    list_file = _list(root, split)
    assert list_file is not None  # such a tree needs one
    is_published = tree.name == PUBLISHED
    listed = pair_listed(
        read_list(list_file),
        images=root / "JPEGImages",
        labels=tree,
        list_file=list_file,
        suffix=".mat" if is_published else ".png",
    )
    if is_published:
        return IndexedDataset(name, split, names, listed, MatLoader(_from_published(classes)))
    loader = SemanticLoader(_from_alphabetical(classes))
    return IndexedDataset(name, split, names, listed, loader)


@dataclass(frozen=True)
class MatLoader:
    """Reads a record whose labels are the array `LabelMap` of a MATLAB file."""

    values: ValueMap

    def __call__(self, record: Record) -> Sample:
        assert record.label is not None  # pair_listed gives every record its label
        raw = read_mat(record.label)
        check_size(raw.shape, path=record.label, image=record.image)
        semantic = self.values.decode(raw, path=record.label)
        return Sample(record.id, record.image, semantic)


def read_mat(path: Path) -> np.ndarray:
    """Returns the raw values of a published label map, (H, W) int32.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is no MATLAB file, or has no label map in it.
    """
    from scipy.io import loadmat

    if not path.is_file():
        raise FileNotFoundError(f"label map {path} does not exist; check the path")
    try:
        content = loadmat(path, variable_names=[LABEL_MAP])
    except Exception as error:  # a damaged file raises whatever its bytes lead to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"label map {path} cannot be read: {reason}; copy the file again") from None
    labels = content.get(LABEL_MAP)
    if labels is None or labels.ndim != 2 or labels.dtype.kind not in "iuf":
        raise DataError(f"label map {path} has no two-dimensional array {LABEL_MAP}")
    return labels.astype(np.int32)


def _from_published(classes: str) -> ValueMap:
    """Returns the meaning of `LabelMap` values, 1..459 in the order of `context_459`, by name."""
    everything, target = builtin("context_459").names, builtin(f"context_{classes}")
    rest = 0 if classes == "60" else IGNORE  # all that is none of the 59 is background
    ids = {0: rest}
    for value, name in enumerate(everything, start=1):
        ids[value] = target.index(name) if name in target.names else rest
    return ValueMap(ids)


def _from_alphabetical(classes: str) -> ValueMap:
    """Returns the meaning of `SegmentationClassContext` values for 59 or 60 classes."""
    ids = {value: value for value in range(60)} | {255: IGNORE}
    if classes == "59":
        target = builtin("context_59")
        names = builtin("context_60").names
        ids |= {value: target.index(names[value]) for value in range(1, 60)} | {0: IGNORE}
    return ValueMap(ids)
