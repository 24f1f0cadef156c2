"""Mapillary Vistas v1.2, its 66 classes reduced to the 19 of Cityscapes.

    {training,validation}/images/*.jpg   {training,validation}/labels/*.png      palette, 0..65
    config.json                                                                  tells it is Vistas
    {training,validation}/v1.2/labels/*.png, config_v1.2.json                    inside release 2.0

Public code knows two reductions: `?reduction=robustnet` (the default) counts lane markings and
manholes as road, curbs as sidewalk and utility poles as pole; `?reduction=strict` leaves those
unlabelled. Classes without a counterpart are unlabelled in both. `?reduction=none` reads all
classes, those of release 2.0 where its labels are there, by the names in the configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from segtune.data.folders import (
    choose_split,
    find_files,
    find_splits,
    has_files,
    named_as,
    pair_by_stem,
    split_folder,
)
from segtune.data.images import read_label_map
from segtune.data.labels import ValueMap, check_size
from segtune.data.samples import IndexedDataset, Record, SemanticLoader
from segtune.errors import DataError, listed
from segtune.storage.json_files import read_json
from segtune.types import IGNORE, Concept, Instance, Kind, Sample, Vocabulary
from segtune.vocabulary.builtin import builtin

NUM_CLASSES = 66
VISTAS = "construction--flat--road"
"""A class that every release has."""
OBJECTS = "instances"
"""Folder of the maps of objects: value * 256 + number, of classes that have objects."""
PUBLISHED = ("training", "validation")
CONFIGURATIONS = ("config_v1.2.json", "config.json")
STRICT = {
    "road": (13,),
    "sidewalk": (15,),
    "building": (17,),
    "wall": (6,),
    "fence": (3,),
    "pole": (45,),
    "traffic light": (48,),
    "traffic sign": (50,),
    "vegetation": (30,),
    "terrain": (29,),
    "sky": (27,),
    "person": (19,),
    "rider": (20, 21, 22),
    "car": (55,),
    "truck": (61,),
    "bus": (54,),
    "train": (58,),
    "motorcycle": (57,),
    "bicycle": (52,),
}
REDUCTIONS = {
    "robustnet": STRICT | {"road": (13, 24, 41), "sidewalk": (15, 2), "pole": (45, 47)},
    "strict": STRICT,
}
"""Cityscapes class -> the values of Vistas that become it."""


def detect(path: Path) -> float:
    """Returns 1 where the folders and a configuration of Vistas are there, else 0."""
    configured = any((path / name).is_file() for name in CONFIGURATIONS)
    versioned = any((path / name / "v1.2" / "labels").is_dir() for name in PUBLISHED)
    return float((configured or versioned) and bool(splits(path)))


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have images and labels of version 1.2."""
    return tuple(split for split in find_splits(path) if _folders(path, split) is not None)


def _folders(path: Path, split: str) -> tuple[Path, Path] | None:
    folder = split_folder(path, split)
    if folder is None or folder.name not in PUBLISHED:
        return None
    for labels in (folder / "labels", folder / "v1.2" / "labels"):
        if has_files(folder / "images") and has_files(labels):
            return folder / "images", labels
    return None


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    reduction: str | None = None,
) -> IndexedDataset[Record]:
    """Returns one split of Vistas with the classes of Cityscapes; all classes with their objects.

    Args:
        path: the folder with `training/` and `validation/`.
        split: "train" or "val".
        vocabulary: other names for the 19 classes.
        reduction: "robustnet", "strict" or "none"; by default the first, but for a configuration
            that lists other classes than Vistas.
    """
    if reduction is None:
        reduction = "robustnet" if _is_vistas(path) else "none"
    if reduction == "none":
        return _all_classes(path, split, vocabulary)
    if reduction not in REDUCTIONS:
        known = listed([*REDUCTIONS, "none"])
        raise DataError(f"reduction={reduction} is not known; use {known}")
    split = choose_split(splits(path), split, path=path)
    folders = _folders(path, split)
    assert folders is not None  # choose_split found them
    images, labels = folders
    target = builtin("cityscapes_19")
    ids = dict.fromkeys(range(NUM_CLASSES), IGNORE)
    for name, values in REDUCTIONS[reduction].items():
        ids |= dict.fromkeys(values, target.index(name))
    records = pair_by_stem(find_files(images), find_files(labels))
    names = named_as(target, vocabulary, layout="mapillary")
    return IndexedDataset("mapillary", split, names, records, SemanticLoader(ValueMap(ids)))


def _is_vistas(path: Path) -> bool:
    """Whether a configuration lists the classes of Vistas; those of a release do not differ."""
    files = (path / name for name in CONFIGURATIONS)
    file = next((f for f in files if f.is_file()), None)
    if file is None:
        return True
    labels = read_json(file, Configuration).labels
    return not labels or any(label.name == VISTAS for label in labels)


class Label(msgspec.Struct):
    """A class in the configuration; its place is its value."""

    readable: str
    name: str
    instances: bool = True
    color: list[int] = []


class Configuration(msgspec.Struct):
    """config_v2.0.json and its like."""

    labels: list[Label]


def _all_classes(
    path: Path, split: str | None, vocabulary: Vocabulary | None
) -> IndexedDataset[Record]:
    """Returns a split with all classes of the newest labels that are there."""
    split = choose_split(splits(path), split, path=path)
    folder = split_folder(path, split)
    assert folder is not None  # choose_split found it
    newest = folder / "v2.0" / "labels"
    if has_files(newest) and (path / "config_v2.0.json").is_file():
        labels, file = newest, path / "config_v2.0.json"
    else:
        found = _folders(path, split)
        assert found is not None
        labels = found[1]
        files = (path / name for name in CONFIGURATIONS)
        file = next((f for f in files if f.is_file()), path / "config.json")
    entries = read_json(file, Configuration).labels
    named = [i for i, entry in enumerate(entries) if entry.readable.lower() != "unlabeled"]
    short = [entry.readable.lower() for entry in entries]
    concepts = []
    for number in named:
        entry = entries[number]
        is_alone = short.count(entry.readable.lower()) == 1
        r, g, b = entry.color[:3] if len(entry.color) >= 3 else (128, 128, 128)
        kind: Kind = "thing" if entry.instances else "stuff"
        name = entry.readable if is_alone else entry.name
        concepts.append(Concept(name, kind=kind, color=(r, g, b)))
    if not concepts:
        raise DataError(f"{file} lists no classes; take it from the download of Vistas")
    unused = set(range(len(entries))) - set(named)
    values = ValueMap.of_values(named, ignored=unused)
    records = pair_by_stem(find_files(folder / "images"), find_files(labels))
    names = named_as(Vocabulary(tuple(concepts), name="mapillary"), vocabulary, layout="mapillary")
    objects = labels.with_name(OBJECTS)
    if not has_files(objects):
        return IndexedDataset("mapillary", split, names, records, SemanticLoader(values))
    things = frozenset(n for n in named if entries[n].instances)
    loader = ObjectsLoader(SemanticLoader(values), values, objects, things)
    return IndexedDataset("mapillary", split, names, records, loader)


@dataclass(frozen=True)
class ObjectsLoader:
    """Reads a label map, and the map of objects of the same name where there is one.

    Attributes:
        semantic: reads the label map.
        values: what its values mean.
        folder: of the maps of objects.
        things: values of classes that have objects.
    """

    semantic: SemanticLoader
    values: ValueMap
    folder: Path
    things: frozenset[int]

    def __call__(self, record: Record) -> Sample:
        sample = self.semantic(record)
        path = self.folder / f"{record.id}.png"
        if not path.is_file():
            return sample
        numbers = read_label_map(path)
        check_size(numbers.shape, path=path, image=record.image)
        found = []
        for number in np.unique(numbers).tolist():
            if number // 256 in self.things:
                found.append(Instance(self.values.ids[number // 256], numbers == number))
        return replace(sample, instances=tuple(found))
