"""YOLO segmentation: one text file per photograph, one polygon per line, in shares of the image.

    data.yaml                                       names: [cat, dog] or {0: cat, 1: dog}
    images/{train,val}/*.jpg   labels/{train,val}/*.txt         folders of splits below
    {train,valid}/images/*.jpg   {train,valid}/labels/*.txt     above, as Roboflow exports
    images/*.jpg   labels/*.txt   classes.txt                   not divided

A line is `class x1 y1 x2 y2 ...`, polygons as COCO fills them. Lines of a class and four numbers
are bounding boxes and are left out. A photograph without a file has no objects. What nothing is
drawn on is unlabelled; `?background=class` makes it a class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segtune.data.checks.left_out import Found, LeftOut
from segtune.data.drawn import Drawn, DrawnRecord, background_asked, classes_of_names, drawn_sample
from segtune.data.folders import (
    SPLIT_FOLDERS,
    UNSPLIT,
    choose_split,
    find_files,
    has_files,
    named_as,
    split_folder,
)
from segtune.data.samples import IndexedDataset
from segtune.errors import DataError
from segtune.storage.images import image_size
from segtune.types import Sample, Vocabulary
from segtune.vocabulary.entries import vocabulary_from
from segtune.vocabulary.parse import parse_vocabulary, parse_yaml, read_text

YAML_ENDINGS = ("*.yaml", "*.yml")
NAME_FILES = ("classes.txt", "labels/classes.txt", "obj.names")
BOX_NUMBERS = 4
LOOKED_AT = 2000
"""Text files that are read to say whether there is anything but boxes."""


def detect(path: Path) -> float:
    """Returns 0.9 where there are both folders, text files and class names, else 0."""
    if not path.is_dir() or not splits(path):
        return 0.0
    return 0.9 * (_yaml(path) is not None or _names_file(path) is not None)


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits; ("all",) where the data is not divided."""
    return tuple(_folders(path))


def _folders(path: Path) -> dict[str, tuple[Path, Path]]:
    """Returns split -> (photographs, text files)."""
    if not path.is_dir():
        return {}
    images, labels = path / "images", path / "labels"
    found: dict[str, tuple[Path, Path]] = {}
    for split in SPLIT_FOLDERS:
        pairs = [(split_folder(images, split), split_folder(labels, split))]
        if above := split_folder(path, split):
            pairs.append((above / "images", above / "labels"))
        for x, y in pairs:
            if x and y and has_files(x) and has_files(y, (".txt",)):
                found.setdefault(split, (x, y))
    if not found and has_files(images) and has_files(labels, (".txt",)):
        found[UNSPLIT] = (images, labels)
    return found


def _yaml(path: Path) -> Path | None:
    """Returns the YAML file with the classes."""
    files = (file for ending in YAML_ENDINGS for file in sorted(path.glob(ending)))
    return next((f for f in files if "names" in read_text(f, what="data file")), None)


def _names_file(path: Path) -> Path | None:
    return next((path / name for name in NAME_FILES if (path / name).is_file()), None)


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    background: str | None = None,
) -> IndexedDataset[DrawnRecord]:
    """Returns photographs with the polygons of their text files.

    Args:
        path: the folder with `data.yaml`.
        split: "train", "val" or "test"; None where the data is not divided.
        vocabulary: other names for the classes.
        background: "class" makes what nothing is drawn on a class.

    Raises:
        DataError: there are no class names, or nothing but bounding boxes.
    """
    folders = _folders(path)
    split = choose_split(tuple(folders), split, path=path)
    images, labels = folders[split]
    words = _classes(path)
    if words is None:
        raise DataError(f"{path} does not name its classes; write data.yaml with names: [cat, dog]")
    wants_rest = background_asked(background)
    names, ids, rest = classes_of_names(
        words.names, name=path.resolve().name, used=words.names, background=wants_rest
    )
    texts = {file.stem: file for file in find_files(labels, (".txt",))}
    texts.pop("classes", None)
    pictures = find_files(images)
    stems = {picture.stem for picture in pictures}
    left_out = [
        LeftOut(file.name, "a label file without an image")
        for stem, file in texts.items()
        if stem not in stems
    ]
    left_out += _boxes(list(texts.values())[:LOOKED_AT], path)
    records = [DrawnRecord(picture.stem, picture, texts.get(picture.stem)) for picture in pictures]
    class_ids = tuple(ids[name] for name in words.names)
    names = named_as(names, vocabulary, layout="yolo")
    loader = YoloLoader(class_ids, rest)
    return IndexedDataset(names.name, split, names, Found.of(records, left_out), loader)


def _classes(path: Path) -> Vocabulary | None:
    file = _yaml(path)
    if file is not None:
        content = parse_yaml(read_text(file, what="data file"), file)
        if isinstance(content, dict) and content.get("names"):
            return vocabulary_from(content["names"], name=file.stem)
        raise DataError(f"{file} has no class names; write names: [cat, dog] into it")
    names = _names_file(path)
    return None if names is None else parse_vocabulary(names, in_label_order=True)


def _boxes(files: list[Path], path: Path) -> list[LeftOut]:
    """Returns the lines that are boxes.

    Raises:
        DataError: all are.
    """
    boxes, polygons = [], 0
    for file in files:
        for number, line in enumerate(read_text(file, what="label file").splitlines(), start=1):
            count = len(line.split()) - 1
            polygons += count > BOX_NUMBERS
            if count == BOX_NUMBERS:
                boxes.append(LeftOut(f"{file.name} line {number}", "a bounding box without a mask"))
    if boxes and not polygons:
        raise DataError(
            f"{path} has {len(boxes)} bounding boxes and no polygons; make masks of them with "
            "`segtune segment IMAGES --boxes FILE.json --format yolo`"
        )
    return boxes


@dataclass(frozen=True)
class YoloLoader:
    """Reads the lines of a text file.

    Attributes:
        class_ids: class id of each number.
        background: class of what nothing is drawn on.
    """

    class_ids: tuple[int, ...]
    background: int

    def __call__(self, record: DrawnRecord) -> Sample:
        file = record.label
        things = [] if file is None else list(self._things(file, image_size(record.image)))
        return drawn_sample(record, things, file=file or record.image, background=self.background)

    def _things(self, file: Path, size: tuple[int, int]) -> Iterator[Drawn]:
        height, width = size
        for number, line in enumerate(read_text(file, what="label file").splitlines(), start=1):
            if not line.strip():
                continue
            name = f"line {number}"
            try:
                first, *values = (float(word) for word in line.split())
            except ValueError:
                raise DataError(f"{file}: {name} is no class and numbers: {line[:40]!r}") from None
            if len(values) == BOX_NUMBERS:
                continue
            if not first.is_integer() or not 0 <= first < len(self.class_ids):
                last = len(self.class_ids) - 1
                raise DataError(
                    f"{file}: {name} has the class {first:g}; data.yaml names 0 to {last}"
                )
            if values and max(values) > 2:
                raise DataError(
                    f"{file}: {name} reaches to {max(values):g}; numbers are shares of the image, "
                    "0 to 1: divide pixels by width and height"
                )
            points = [v * (height if i % 2 else width) for i, v in enumerate(values)]
            yield Drawn(self.class_ids[int(first)], [points], name)
