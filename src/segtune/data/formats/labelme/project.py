"""LabelMe JSON: one file per photograph, beside it. Read and written.

    *.jpg, *.json                   all in one folder, or in folders of folders
    {train,val,test}/*.jpg, *.json  divided
    images/*.jpg   labels/*.json    apart, also annotations/, json/
    labels.txt                      classes in order; also classes.txt, class_names.txt, in the
                                    folder or beside it, or FOLDER.labels.txt

Polygons, rectangles, circles, lines (`?line_width=10`) and masks are drawn as LabelMe's converters
draw them, later shapes above earlier ones; shapes of one label and `group_id` are one object.
Points are no regions and are left out. `__ignore__` is unlabelled; so is what nothing is drawn on,
unless the class list has a `_background_` that nobody draws, or `?background=class` is given.
LabelMe shows photographs upright by EXIF, and `imageHeight` and `imageWidth` are of that. A
photograph that is missing is taken from `imageData`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segtune.data.checks.left_out import Found, LeftOut
from segtune.data.drawn import (
    Drawn,
    DrawnRecord,
    background_asked,
    classes_of_names,
    drawn_sample,
)
from segtune.data.folders import (
    SPLIT_FOLDERS,
    UNSPLIT,
    choose_split,
    exists,
    is_inside,
    named_as,
)
from segtune.data.formats.coco.files import sample_ids
from segtune.data.formats.labelme.schemas import (
    LINE_WIDTH_PX,
    POINTS,
    LabelmeFile,
    LabelmeNames,
    LabelmePixels,
    drawing_of,
    picture,
)
from segtune.data.masks.shapes import ShapeError
from segtune.data.samples import IndexedDataset
from segtune.errors import DataError
from segtune.storage.images import IMAGE_SUFFIXES, as_rgb
from segtune.storage.json_files import read_json
from segtune.types import Sample, Vocabulary
from segtune.vocabulary.parse import read_text

CLASS_FILES = ("labels.txt", "classes.txt", "class_names.txt")
JSON_FOLDERS = ("labels", "annotations", "json", "jsons", "labelme", "label", "ann")
IMAGE_FOLDERS = ("images", "image", "imgs", "img", "JPEGImages")
PEEKED_AT = 3
"""JSON files that are looked into, before a folder counts as another's."""


def detect(path: Path) -> float:
    """Returns 0.9 where the JSON files are LabelMe's, else 0."""
    return 0.9 * bool(splits(path))


def splits(path: Path) -> tuple[str, ...]:
    """Returns the splits that have JSON files; ("all",) where it is not divided."""
    return tuple(_files(path))


def _files(path: Path) -> dict[str, list[Path]]:
    """Returns split -> JSON files."""
    if not path.is_dir():
        return {}
    divided: dict[str, list[Path]] = {}
    for split, names in SPLIT_FOLDERS.items():
        for name in names:
            below = [path / name, *(path / folder / name for folder in JSON_FOLDERS)]
            for folder in (f for f in below if f.is_dir()):
                if _is_labelme(files := _json_files(folder)):
                    divided.setdefault(split, files)
    if divided:
        return divided
    files = _json_files(path)
    return {UNSPLIT: files} if _is_labelme(files) else {}


def _json_files(folder: Path) -> list[Path]:
    """Returns the JSON files of a folder, else of those that hold them, else below it."""
    if found := sorted(folder.glob("*.json")):
        return found
    for name in JSON_FOLDERS:
        if found := sorted((folder / name).glob("*.json")):
            return found
    return sorted(folder.glob("*/*.json"))


def _is_labelme(files: Sequence[Path]) -> bool:
    for file in files[:PEEKED_AT]:
        content = file.read_bytes()
        if b'"shapes"' in content and b'"imagePath"' in content:
            return True
    return False


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    background: str | None = None,
    line_width: str | None = None,
) -> IndexedDataset[DrawnRecord]:
    """Returns the photographs of a LabelMe project with what was drawn on them.

    Args:
        path: the folder.
        split: "train", "val" or "test"; None where it is not divided.
        vocabulary: other names for the classes.
        background: "class" makes what nothing is drawn on a class, else it is unlabelled.
        line_width: of lines, in pixels.
    """
    files = _files(path)
    split = choose_split(tuple(files), split, path=path)
    entries = {file: read_json(file, LabelmeNames) for file in files[split]}
    labels, left_out = _labels(entries)
    listed = _listed(path, files[split][0].parent)
    if listed and (unknown := sorted(set(labels) - set(listed))):
        raise DataError(
            f"{path}: the label {unknown[0]!r} is not in the list of classes; add it to the file"
        )
    names, ids, rest = classes_of_names(
        listed or sorted(labels),
        name=path.resolve().name,
        used=labels,
        background=background_asked(background),
    )
    ids_in_order = sample_ids([file.relative_to(path).as_posix() for file in entries])
    records = [
        DrawnRecord(sample_id, _image(file, entry.imagePath, path), file)
        for sample_id, (file, entry) in zip(ids_in_order, entries.items(), strict=True)
    ]
    loader = LabelmeLoader(ids, rest, _width(line_width))
    names = named_as(names, vocabulary, layout="labelme")
    return IndexedDataset(names.name, split, names, Found.of(records, left_out), loader)


def _labels(entries: dict[Path, LabelmeNames]) -> tuple[list[str], list[LeftOut]]:
    """Returns all labels of regions, and the points, which are left out."""
    labels: dict[str, None] = {}
    left_out = []
    for file, entry in entries.items():
        for number, shape in enumerate(entry.shapes):
            if shape.shape_type in POINTS:
                name = f"{file.name} shape {number} ({shape.label})"
                left_out.append(LeftOut(name, "a point, which is no region"))
            else:
                labels[str(shape.label)] = None
    return list(labels), left_out


def _listed(path: Path, folder: Path) -> list[str]:
    """Returns the class names of a list beside the data; empty where there is none."""
    root = path.resolve()
    places = [place / name for place in (folder, root, root.parent) for name in CLASS_FILES]
    for file in (root.with_name(f"{root.name}.labels.txt"), *places):
        if file.is_file():
            lines = (line.strip() for line in read_text(file, what="class list").splitlines())
            return [line for line in lines if line]
    return []


def _image(file: Path, stated: str | None, root: Path) -> Path:
    """Returns the photograph of a JSON, or the JSON itself where the photograph is inside of it."""
    name = (stated or "").replace("\\", "/")
    if name and is_inside(file.parent, name, root=root) and exists(file.parent / name):
        return file.parent / name
    folders = [file.parent, root, *(root / folder for folder in IMAGE_FOLDERS)]
    folders += [file.parent.parent / folder for folder in IMAGE_FOLDERS]
    folders += [root / folder / file.parent.name for folder in IMAGE_FOLDERS]
    places = [folder / Path(name).name for folder in folders if name]
    places += [folder / f"{file.stem}{end}" for folder in folders for end in IMAGE_SUFFIXES]
    inside = (p for p in places if exists(p) and is_inside(p.parent, p.name, root=root))
    return next(inside, file)


def _width(text: str | None) -> float:
    try:
        width = LINE_WIDTH_PX if text is None else float(text)
    except ValueError:
        width = 0.0
    if not 1 <= width <= 1000:
        raise DataError(f"line_width={text} is no width in pixels; use line_width=10")
    return width


@dataclass(frozen=True)
class LabelmeLoader:
    """Reads the shapes of a JSON.

    Attributes:
        ids: label -> class id.
        background: class of what nothing is drawn on.
        line_width: of lines, in pixels.
    """

    ids: dict[str, int]
    background: int
    line_width: float

    def __call__(self, record: DrawnRecord) -> Sample:
        file = record.label
        assert file is not None  # read gives every record its JSON
        content = read_json(file, LabelmeFile)
        things = []
        for number, shape in enumerate(content.shapes):
            if shape.shape_type in POINTS:
                continue
            name = f"shape {number} ({shape.label})"
            try:
                drawing = drawing_of(shape, line_width=self.line_width)
            except ShapeError as error:
                raise DataError(f"{file}: {name} {error}; correct it in LabelMe") from None
            class_id = self.ids[str(shape.label)]
            things.append(Drawn(class_id, drawing, name, group=shape.group_id))
        pixels = _inside(file) if record.image == file else None
        stated = (content.imageHeight, content.imageWidth)
        known = DrawnRecord(record.id, record.image, file, stated_size=stated)
        return drawn_sample(known, things, file=file, background=self.background, pixels=pixels)


def _inside(file: Path) -> np.ndarray:
    """Returns the (H, W, 3) uint8 photograph that is inside of a JSON, upright."""
    data = read_json(file, LabelmePixels).imageData
    if not data:
        raise DataError(f"{file}: its photograph does not exist beside it; add the image file")
    try:
        return as_rgb(picture(data, what="imageData"), what=f"imageData of {file}")
    except ShapeError as error:
        raise DataError(f"{file} {error}; add the image file") from None
