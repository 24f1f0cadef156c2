"""PASCAL VOC 2012 segmentation, with the augmented training labels where they are there.

    VOC2012/JPEGImages/*.jpg
    VOC2012/SegmentationClass/*.png, SegmentationClassAug/*.png     0 background, 1..20, 255 void;
                                                                    or in the colours of VOC
    VOC2012/ImageSets/Segmentation/{train,val,trainval,train_aug}.txt    or  VOC2012/list/*.txt
    VOC2012/annotations_detectron2/{train,val}/*.png                0..19, 255; read where the
                                                                    published maps are not there

Background is unlabelled by default, as in the open-vocabulary protocols (20 classes, "PAS-20");
`?background=class` makes it class 0 of 21. A vocabulary of 21 names asks for the same.
"""

from __future__ import annotations

from pathlib import Path

from segtune.data.folders import (
    choose_split,
    find_files,
    find_splits,
    has_files,
    named_as,
    pair_by_stem,
    pair_listed,
    read_stems,
)
from segtune.data.formats.maps.color_table import ColorLoader, ColorTable
from segtune.data.formats.maps.voc_project import is_project
from segtune.data.images import LABEL_SUFFIXES
from segtune.data.labels import ValueMap
from segtune.data.samples import IndexedDataset, Record
from segtune.errors import DataError
from segtune.types import IGNORE, Vocabulary
from segtune.vocabulary.builtin import builtin
from segtune.vocabulary.colors import Color

LABEL_FOLDERS = ("SegmentationClassAug", "SegmentationClass")
LIST_FOLDERS = ("ImageSets/Segmentation", "list", "ImageSets/SegmentationAug")
PREPARED = "annotations_detectron2"
BACKGROUND_CHOICES = ("ignore", "class")


def detect(path: Path) -> float:
    """Returns 1 where `path` is VOC2012, VOCdevkit or a folder with one of them, else 0."""
    return float(bool(splits(path)))


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have a list file or prepared maps, "train" first."""
    root = find_root(path, "VOC2012")
    if is_project(root):
        return ()
    if _labels(root) is None:
        prepared = root / PREPARED
        return tuple(s for s in find_splits(prepared) if has_files(prepared / s, LABEL_SUFFIXES))
    found = {file.stem: None for name in LIST_FOLDERS for file in (root / name).glob("*.txt")}
    return tuple(sorted(found, key=lambda split: (split != "train", split)))


def find_root(path: Path, year: str) -> Path:
    """Returns the folder with `JPEGImages` at or below `path`, or `path` where there is none."""
    places = (path, path / year, path / "VOCdevkit" / year)
    return next((place for place in places if (place / "JPEGImages").is_dir()), path)


def _labels(root: Path) -> Path | None:
    return next((root / name for name in LABEL_FOLDERS if (root / name).is_dir()), None)


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    background: str | None = None,
) -> IndexedDataset[Record]:
    """Returns one split of VOC 2012.

    Args:
        path: `VOC2012`, `VOCdevkit`, or the folder that holds the latter.
        split: the name of a list file, such as "train", "train_aug" or "val".
        vocabulary: other names for the classes.
        background: "ignore" or "class".
    """
    if background not in (None, *BACKGROUND_CHOICES):
        raise DataError(f"background={background} is not known; use background=ignore or =class")
    split = choose_split(splits(path), split, path=path)
    root = find_root(path, "VOC2012")
    wants_background = background == "class" or (
        background is None and vocabulary is not None and len(vocabulary) == 21
    )
    labels = _labels(root)
    if labels is None:
        if wants_background:
            raise DataError(
                f"{root / PREPARED} has no background; add SegmentationClassAug/ or "
                "SegmentationClass/ with their lists"
            )
        records = _prepared(root, split)
        expected, values = builtin("voc_20"), ValueMap.plain(20)
    else:
        lists = (root / name / f"{split}.txt" for name in LIST_FOLDERS)
        list_file = next(file for file in lists if file.is_file())
        stems = read_stems(list_file)
        records = pair_listed(stems, images=root / "JPEGImages", labels=labels, list_file=list_file)
        if wants_background:
            expected, values = builtin("voc_21"), ValueMap.of_values(range(21), ignored=(255,))
        else:
            expected = builtin("voc_20")
            values = ValueMap.of_values(range(1, 21), ignored=(0, 255))
    names = named_as(expected, vocabulary, layout="voc")
    return IndexedDataset(
        expected.name, split, names, records, ColorLoader(_colors(values), values)
    )


def _colors(values: ValueMap) -> ColorTable:
    """Returns what the colours of VOC mean, for maps that were saved in colours."""
    classes = builtin("voc_21")
    ids = {voc_color(number): values.ids.get(number, IGNORE) for number in range(len(classes))}
    return ColorTable(classes, ids)


def voc_color(number: int) -> Color:
    """Returns the colour of a value in VOC's palette: its 24 bits, spread over the channels.

    Example:
        >>> voc_color(1), voc_color(15)
        ((128, 0, 0), (192, 128, 128))
    """
    r, g, b = (
        sum(((number >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(8))
        for channel in range(3)
    )
    return (r, g, b)


def _prepared(root: Path, split: str) -> tuple[Record, ...]:
    """Returns a record per prepared map; images without one have nothing but background."""
    labels = find_files(root / PREPARED / split, LABEL_SUFFIXES)
    wanted = {label.stem for label in labels}
    images = (image for image in find_files(root / "JPEGImages") if image.stem in wanted)
    return pair_by_stem(images, labels)
