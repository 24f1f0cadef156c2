"""Cityscapes with its 19 evaluation classes, and optionally its instances.

    leftImg8bit/{train,val,test}/<city>/<frame>_leftImg8bit.png
    gtFine/{train,val,test}/<city>/<frame>_gtFine_labelTrainIds.png   0..18, 255 unlabelled
    gtFine/{train,val,test}/<city>/<frame>_gtFine_labelIds.png        raw ids, used where the former
                                                                      are not there
    gtFine/{train,val,test}/<city>/<frame>_gtFine_instanceIds.png     1000 * raw id + number

`?instances=1` also reads the objects of the eight thing classes; groups of objects, stored with a
value below 1000, become crowd regions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segtune.data.folders import choose_split, find_files, named_as, pair_by_stem
from segtune.data.images import read_label_map
from segtune.data.labels import ValueMap, check_size
from segtune.data.samples import IndexedDataset, Record, SemanticLoader
from segtune.errors import DataError
from segtune.types import Instance, Sample, Vocabulary
from segtune.vocabulary.builtin import builtin, category_ids

SPLITS = ("train", "val", "test")
NUM_RAW_IDS = 34
TRAIN_IDS, RAW_IDS, INSTANCE_IDS = (
    "_gtFine_labelTrainIds",
    "_gtFine_labelIds",
    "_gtFine_instanceIds",
)


def detect(path: Path) -> float:
    """Returns 1 where `path` has both folders of the data set, else 0."""
    return float(bool(splits(path)))


def _root(path: Path) -> Path:
    """Returns `path`, or the folder `cityscapes` in it."""
    places = (path, path / "cityscapes")
    return next((p for p in places if (p / "gtFine").is_dir()), path)


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have images and label maps."""
    path = _root(path)
    return tuple(
        split
        for split in SPLITS
        if any((path / "leftImg8bit" / split).glob("*/*_leftImg8bit.png"))
        and any((path / "gtFine" / split).glob("*/*_gtFine_label*Ids.png"))
    )


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    instances: str | None = None,
) -> IndexedDataset[Record]:
    """Returns one split of Cityscapes.

    Args:
        path: the folder with `leftImg8bit/` and `gtFine/`, or its parent.
        split: "train", "val" or "test".
        vocabulary: other names for the 19 classes.
        instances: "1" to read the objects of the thing classes too.
    """
    if instances not in (None, "0", "1"):
        raise DataError(f"instances={instances} is not known; use instances=1")
    split = choose_split(splits(path), split, path=path)
    path = _root(path)
    cities = sorted(
        folder for folder in (path / "leftImg8bit" / split).iterdir() if folder.is_dir()
    )
    images = [image for city in cities for image in find_files(city)]
    truth = [label for city in cities for label in _labels_of(path / "gtFine" / split / city.name)]
    raw_ids = category_ids("cityscapes_19")
    if any(label.stem.endswith(TRAIN_IDS) for label in truth):
        ending, values = TRAIN_IDS, ValueMap.of_values(range(19), ignored=(255, 19))
    else:
        unused = set(range(NUM_RAW_IDS)) - set(raw_ids)
        ending, values = RAW_IDS, ValueMap.of_values(raw_ids, ignored=(255, *unused))
    records = pair_by_stem(images, truth, image_ending="_leftImg8bit", label_ending=ending)
    names = named_as(builtin("cityscapes_19"), vocabulary, layout="cityscapes")
    semantic = SemanticLoader(values)
    load = InstanceLoader(semantic, ending, raw_ids) if instances == "1" else semantic
    return IndexedDataset("cityscapes", split, names, records, load)


def _labels_of(city: Path) -> list[Path]:
    return find_files(city) if city.is_dir() else []


@dataclass(frozen=True)
class InstanceLoader:
    """Reads a record's label map and the objects in the instance map beside it.

    Attributes:
        semantic: reads the label map.
        ending: of the label file's stem, to find the instance map.
        raw_ids: the raw id of every class.
    """

    semantic: SemanticLoader
    ending: str
    raw_ids: tuple[int, ...]

    def __call__(self, record: Record) -> Sample:
        sample = self.semantic(record)
        assert record.label is not None  # pair_by_stem gives every record its label
        stem = record.label.stem.removesuffix(self.ending)
        path = record.label.with_name(f"{stem}{INSTANCE_IDS}.png")
        numbers = read_label_map(path)
        check_size(numbers.shape, path=path, image=record.image)
        things = builtin("cityscapes_19").concepts
        found = []
        for number in np.unique(numbers).tolist():
            raw_id = number // 1000 if number >= 1000 else number
            if raw_id in self.raw_ids and things[self.raw_ids.index(raw_id)].kind == "thing":
                class_id = self.raw_ids.index(raw_id)
                found.append(Instance(class_id, numbers == number, is_crowd=number < 1000))
        return replace(sample, instances=tuple(found))
