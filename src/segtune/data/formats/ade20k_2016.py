"""ADE20K full, the release of 2016 and 2017, with the names that its text files give.

    ADE20K_2016_07_26/images/{training,validation}/<letter>/<scene>/ADE_train_00000001.jpg
                                                                    ADE_train_00000001_seg.png
                                                                    ADE_train_00000001_atr.txt
                                                                    ADE_train_00000001_parts_1.png

Blue in `*_seg.png` tells objects apart, by rank; a line of `*_atr.txt` names one: `number # part
level # occluded # names # raw name # attributes`. Objects of level 0 are read, parts are not. The
classes are the names of a split, in alphabetical order; `index_ade20k.mat` is not opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segtune.data.folders import choose_split, find_splits, named_as, split_folder
from segtune.data.labels import check_size
from segtune.data.masks.files import read_stored
from segtune.data.samples import IndexedDataset, Record
from segtune.errors import DataError
from segtune.storage.images import IMAGE_SUFFIXES
from segtune.types import IGNORE, Concept, Instance, Sample, Vocabulary
from segtune.vocabulary.parse import read_text

ROOT = "ADE20K_2016_07_26"
SEG, ATTRIBUTES = "_seg.png", "_atr.txt"


def detect(path: Path) -> float:
    """Returns 1 for the folder of the release or its parent, else 0."""
    return float(bool(splits(path)))


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have text files."""
    images = _root(path) / "images"
    return tuple(s for s in find_splits(images) if next(_stems(images, s), None) is not None)


def _root(path: Path) -> Path:
    return path / ROOT if (path / ROOT).is_dir() else path


def _stems(images: Path, split: str) -> Iterator[Path]:
    """Yields the path of every image without its ending, in order."""
    for place, folders, files in os.walk(split_folder(images, split) or images):
        folders.sort()
        for file in sorted(files):
            if file.endswith(ATTRIBUTES):
                yield Path(place) / file.removesuffix(ATTRIBUTES)


def read(
    path: Path, *, split: str | None = None, vocabulary: Vocabulary | None = None
) -> IndexedDataset[Record]:
    """Returns one split with all objects and their label map.

    Args:
        path: `ADE20K_2016_07_26` or the folder that holds it.
        split: "train" or "val".
        vocabulary: other names for the classes.
    """
    split = choose_split(splits(path), split, path=path)
    stems = list(_stems(_root(path) / "images", split))
    labels = sorted({n for s in stems for n in object_names(_beside(s, ATTRIBUTES)).values()})
    names = Vocabulary(_concepts(labels), name="ade20k_2016")
    records = [Record(s.name, _photograph(s), _beside(s, SEG)) for s in stems]
    ids = {label: number for number, label in enumerate(labels)}
    names = named_as(names, vocabulary, layout="ade20k_2016")
    return IndexedDataset("ade20k_2016", split, names, records, ObjectsLoader(ids))


def _beside(stem: Path, ending: str) -> Path:
    return stem.with_name(f"{stem.name}{ending}")


def _photograph(stem: Path) -> Path:
    """Returns the image of a stem: a .jpg as published, or what a conversion kept."""
    found = (_beside(stem, suffix) for suffix in IMAGE_SUFFIXES)
    published = _beside(stem, ".jpg")
    return published if published.is_file() else next((f for f in found if f.is_file()), published)


def _concepts(labels: list[str]) -> tuple[Concept, ...]:
    """Returns classes called by their first word, or by all where another has the same."""
    first = [label.split(",")[0].strip() for label in labels]
    concepts = []
    for label, word in zip(labels, first, strict=True):
        others = tuple(part.strip() for part in label.split(",")[1:])
        is_alone = first.count(word) == 1
        concepts.append(Concept(word, others) if is_alone else Concept(label))
    return tuple(concepts)


def object_names(file: Path) -> dict[int, str]:
    """Returns number of an object -> its names, of the objects that are no parts.

    Raises:
        DataError: a line is not of that form.
    """
    found = {}
    for line in read_text(file, what="attribute file").splitlines():
        columns = [column.strip() for column in line.split("#")]
        if not line.strip():
            continue
        if len(columns) < 4 or not (columns[0].isdecimal() and columns[1].isdecimal()):
            raise DataError(f"{file} has the line {line[:40]!r}; expected number # level # ...")
        if int(columns[1]) == 0 and columns[3]:
            found[int(columns[0])] = columns[3].lower()
    return found


@dataclass(frozen=True)
class ObjectsLoader:
    """Reads the map of objects of an image and the names of its text file.

    Attributes:
        ids: names -> class id.
    """

    ids: dict[str, int]

    def __call__(self, record: Record) -> Sample:
        path = record.label
        assert path is not None  # read gives every record its map
        colors = read_stored(path, what="label map").colors()
        if colors is None:
            raise DataError(f"{path} has one channel; in ADE20K it has three")
        check_size(colors.shape[:2], path=path, image=record.image)
        numbers = colors[..., 2]
        names = object_names(path.with_name(path.name.replace(SEG, ATTRIBUTES)))
        semantic = np.full(numbers.shape, IGNORE, np.int32)
        instances = []
        for number, value in enumerate(np.unique(numbers[numbers > 0]).tolist(), start=1):
            if number not in names:
                continue
            mask = numbers == value
            semantic[mask] = self.ids[names[number]]
            instances.append(Instance(self.ids[names[number]], mask))
        return Sample(record.id, record.image, semantic, tuple(instances))
