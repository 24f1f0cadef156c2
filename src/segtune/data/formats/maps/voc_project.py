"""Trees like that of PASCAL VOC, as tools write them, with a list of their own classes.

    JPEGImages/*.jpg   SegmentationClass/*.png         palette or colours
                       SegmentationClassPNG/*.png      older labelme2voc, whose
                       SegmentationClass[Npy]/*.npy    SegmentationClass/ has NumPy files
                       SegmentationObject[PNG]/*.png   objects, where they are there
    class_names.txt                                    of labelme2voc: values are lines
    labelmap.txt                                       of CVAT: name:r,g,b::
    ImageSets/Segmentation/*.txt                       lists, where the data is divided

`_background_` is a class; -1, 255 and `__ignore__` are unlabelled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segtune.data.checks.left_out import Found, LeftOut
from segtune.data.folders import UNSPLIT, choose_split, find_files, has_files, named_as, read_stems
from segtune.data.formats.maps.color_table import ColorLoader, read_color_table
from segtune.data.images import IGNORE_8_BIT, LABEL_SUFFIXES
from segtune.data.labels import ValueMap, check_size
from segtune.data.masks.files import packed, read_stored
from segtune.data.samples import IndexedDataset, Record
from segtune.errors import DataError
from segtune.storage.arrays import read_npy
from segtune.types import IGNORE, Concept, Instance, Sample, Vocabulary
from segtune.vocabulary.parse import read_text

LISTED, COLOURED = "class_names.txt", "labelmap.txt"
CLASS_FOLDERS = ("SegmentationClassPNG", "SegmentationClass", "SegmentationClassNpy")
OBJECT_FOLDERS = ("SegmentationObjectPNG", "SegmentationObject", "SegmentationObjectNpy")
SUFFIXES = (*LABEL_SUFFIXES, ".npy")
BACKGROUND = "_background_"


def detect(path: Path) -> float:
    """Returns 1 where the folders and a list of classes are there, else 0."""
    return float(bool(splits(path)))


def is_project(path: Path) -> bool:
    """Whether a folder has a list of classes of its own, so that it is not PASCAL VOC itself."""
    return (path / LISTED).is_file() or (path / COLOURED).is_file()


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits of the lists; ("all",) where there is none, or only one for all."""
    if not is_project(path) or _labels(path) is None:
        return ()
    lists = sorted(file.stem for file in (path / "ImageSets" / "Segmentation").glob("*.txt"))
    divided = tuple(sorted(lists, key=lambda split: (split != "train", split)))
    return divided if len(divided) > 1 or "train" in divided else (UNSPLIT,)


def _labels(path: Path) -> Path | None:
    """Returns the folder of label maps; PNG before NumPy."""
    folders = [path / name for name in CLASS_FOLDERS]
    with_maps = (folder for folder in folders if has_files(folder, LABEL_SUFFIXES))
    with_any = (folder for folder in folders if has_files(folder, SUFFIXES))
    return next(with_maps, None) or next(with_any, None)


def read(
    path: Path, *, split: str | None = None, vocabulary: Vocabulary | None = None
) -> IndexedDataset[Record]:
    """Returns photographs with label maps and, where there are any, objects.

    Args:
        path: the folder.
        split: the name of a list in `ImageSets/Segmentation/`.
        vocabulary: other names for the classes.
    """
    split = choose_split(splits(path), split, path=path)
    folder = _labels(path)
    assert folder is not None  # choose_split found it
    if (path / COLOURED).is_file():
        table = read_color_table(path / COLOURED)
        names, values, colors = table.vocabulary, None, ColorLoader(table)
    else:
        names, values = _listed(path / LISTED)
        colors = None
    maps = {file.stem: file for file in find_files(folder, SUFFIXES)}
    if split != UNSPLIT:
        file = path / "ImageSets" / "Segmentation" / f"{split}.txt"
        lines = read_text(file, what="list of images").splitlines()
        wanted = {*read_stems(file), *(line.strip() for line in lines)}
        maps = {stem: file for stem, file in maps.items() if stem in wanted}
    if not (path / "JPEGImages").is_dir():
        raise DataError(
            f"{path} has label maps without photographs; put these into {path / 'JPEGImages'} "
            "(in CVAT, export again with 'Save images')"
        )
    images = {file.stem: file for file in find_files(path / "JPEGImages")}
    records = [Record(stem, images[stem], file) for stem, file in maps.items() if stem in images]
    lost = [
        LeftOut(f.name, "a label map without an image") for s, f in maps.items() if s not in images
    ]
    if split == UNSPLIT:
        lost += [
            LeftOut(f.name, "an image without a label map")
            for s, f in images.items()
            if s not in maps
        ]
    names = named_as(names, vocabulary, layout="voc_project")
    return IndexedDataset(
        path.resolve().name, split, names, Found.of(records, lost), MapsLoader(values, colors)
    )


def _listed(file: Path) -> tuple[Vocabulary, ValueMap]:
    """Returns the classes of a list and what values mean."""
    lines = [line.strip() for line in read_text(file, what="class list").splitlines()]
    labels = [line for line in lines if line and line != "__ignore__"]
    concepts = [
        Concept("background", kind="stuff") if label == BACKGROUND else Concept(label)
        for label in labels
    ]
    return Vocabulary(tuple(concepts), name=file.parent.name), ValueMap.plain(len(labels))


@dataclass(frozen=True)
class MapsLoader:
    """Reads a label map, and the map of objects of the same name.

    Attributes:
        values: what numbers mean; None where colours say it.
        colors: reads colours.
    """

    values: ValueMap | None
    colors: ColorLoader | None

    def __call__(self, record: Record) -> Sample:
        assert record.label is not None  # read gives every record its label
        semantic = self._labels(record.label, record.image)
        sample = Sample(record.id, record.image, semantic)
        numbers = _objects(record)
        return sample if numbers is None else replace(sample, instances=_of(numbers, semantic))

    def _labels(self, path: Path, image: Path) -> np.ndarray:
        if self.colors is not None:
            return self.colors.labels(path, image)
        assert self.values is not None
        raw = _numbers(path)
        check_size(raw.shape, path=path, image=image)
        return self.values.decode(raw, path=path)


def _numbers(path: Path) -> np.ndarray:
    """Returns the (H, W) int32 numbers of a map; unlabelled is 255, and colours are packed."""
    if path.suffix == ".npy":
        values = read_npy(path)
        if values.ndim != 2 or values.dtype.kind not in "iu":
            raise DataError(f"{path} is {values.dtype} of {values.shape}; expected (H, W) integers")
        return np.where(values < 0, IGNORE_8_BIT, values).astype(np.int32)
    stored = read_stored(path, what="label map")
    return packed(stored.values) if stored.is_coloured else stored.values.astype(np.int32)


def _objects(record: Record) -> np.ndarray | None:
    """Returns the map of objects of a record; 0 is none."""
    assert record.label is not None
    for name in OBJECT_FOLDERS:
        for suffix in (".png", ".npy"):
            path = record.label.parent.parent / name / f"{record.label.stem}{suffix}"
            if path.is_file():
                numbers = _numbers(path)
                check_size(numbers.shape, path=path, image=record.image)
                return numbers
    return None


def _of(numbers: np.ndarray, semantic: np.ndarray) -> tuple[Instance, ...]:
    """Returns the objects of a map, each of the class that most of its pixels have."""
    found = []
    for number in np.unique(numbers[numbers > 0]).tolist():
        mask = (numbers == number) & (semantic != IGNORE)
        if mask.any():
            found.append(Instance(int(np.bincount(semantic[mask]).argmax()), mask))
    return tuple(found)
