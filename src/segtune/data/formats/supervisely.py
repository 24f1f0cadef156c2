"""Supervisely projects. Read and written.

    meta.json                        classes with colours
    DATASET/img/a.jpg                photographs, in one folder or several
    DATASET/ann/a.jpg.json           objects; also a.json, as older projects have it

Polygons have their border pixels, and so have their holes, as Supervisely draws them; bitmaps are
PNG, packed; rectangles have their corners inside. Points and graphs are no regions and are left
out; lines are drawn 1 pixel wide. Datasets called train, val or test are splits.
"""

from __future__ import annotations

import base64
import binascii
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image

from segtune.data.checks.left_out import Found, LeftOut
from segtune.data.drawn import Drawn, DrawnRecord, background_asked, classes_of_names, drawn_sample
from segtune.data.folders import SPLIT_FOLDERS, UNSPLIT, choose_split, find_files, named_as
from segtune.data.formats.coco.files import save_json
from segtune.data.masks.drawing import Bitmap, Drawing, Stroke
from segtune.data.masks.shapes import ShapeError
from segtune.data.samples import IndexedDataset
from segtune.errors import DataError
from segtune.storage.json_files import read_json
from segtune.types import Sample, Segmentation, Vocabulary

META = "meta.json"
LARGEST_BITMAP = 1 << 28
"""Bytes of a bitmap that are unpacked at most."""


class MetaClass(msgspec.Struct):
    """A class of a project."""

    title: str


class Meta(msgspec.Struct):
    """meta.json."""

    classes: list[MetaClass]


class Size(msgspec.Struct):
    """Of the photograph, in pixels."""

    height: float
    width: float


class Points(msgspec.Struct):
    """The outline of an object, and its holes."""

    exterior: list[list[float]] = []
    interior: list[list[list[float]]] = []


class Packed(msgspec.Struct):
    """A PNG, packed, whose upper left pixel is at `origin`."""

    data: str
    origin: list[float]


class Thing(msgspec.Struct):
    """One object."""

    classTitle: str
    geometryType: str = ""
    points: Points | None = None
    bitmap: Packed | None = None
    id: int | None = None


class Document(msgspec.Struct):
    """The objects of one photograph."""

    size: Size
    objects: list[Thing]


def detect(path: Path) -> float:
    """Returns 1 where there are meta.json and datasets, else 0."""
    return float(bool(splits(path)))


def splits(path: Path) -> tuple[str, ...]:
    """Returns the datasets that are called as splits are; else ("all",)."""
    return tuple(_datasets(path))


def _datasets(path: Path) -> dict[str, list[Path]]:
    """Returns split -> folders with img/ and ann/."""
    if not (path / META).is_file():
        return {}
    folders = [f for f in sorted(path.iterdir()) if (f / "img").is_dir() and (f / "ann").is_dir()]
    known = {name: split for split, names in SPLIT_FOLDERS.items() for name in names}
    if folders and all(folder.name.lower() in known for folder in folders):
        found = {known[folder.name.lower()]: [folder] for folder in folders}
        return {split: found[split] for split in SPLIT_FOLDERS if split in found}
    return {UNSPLIT: folders} if folders else {}


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    background: str | None = None,
) -> IndexedDataset[DrawnRecord]:
    """Returns the photographs of a project with what was drawn on them.

    Args:
        path: the folder with `meta.json`.
        split: a dataset, where they are called train, val and test.
        vocabulary: other names for the classes.
        background: "class" makes what nothing is drawn on a class.
    """
    datasets = _datasets(path)
    split = choose_split(tuple(datasets), split, path=path)
    titles = [each.title for each in read_json(path / META, Meta).classes]
    names, ids, rest = classes_of_names(
        titles,
        name=path.resolve().name,
        used=titles,
        background=background_asked(background),
    )
    records, left_out = [], []
    folders = datasets[split]
    for folder in folders:
        for image in find_files(folder / "img"):
            files = (folder / "ann" / f"{name}.json" for name in (image.name, image.stem))
            file = next((f for f in files if f.is_file()), None)
            name = image.stem if len(folders) == 1 else f"{folder.name}_{image.stem}"
            if file is None:
                left_out.append(LeftOut(image.name, "an image without annotations"))
            else:
                records.append(DrawnRecord(name, image, file))
    names = named_as(names, vocabulary, layout="supervisely")
    found = Found.of(records, left_out)
    return IndexedDataset(names.name, split, names, found, SuperviselyLoader(ids, rest))


@dataclass(frozen=True)
class SuperviselyLoader:
    """Reads the objects of a photograph.

    Attributes:
        ids: class title -> class id.
        background: class of what nothing is drawn on.
    """

    ids: dict[str, int]
    background: int

    def __call__(self, record: DrawnRecord) -> Sample:
        file = record.label
        assert file is not None  # read gives every record its JSON
        content = read_json(file, Document)
        things = list(self._things(content, file))
        stated = (content.size.height, content.size.width)
        known = DrawnRecord(record.id, record.image, file, None, stated)
        return drawn_sample(known, things, file=file, background=self.background)

    def _things(self, content: Document, file: Path) -> Iterator[Drawn]:
        for number, thing in enumerate(content.objects):
            if thing.geometryType in ("point", "graph", "cuboid"):
                continue
            key = thing.id if thing.id is not None else number
            name = f"object {key} ({thing.classTitle})"
            if thing.classTitle not in self.ids:
                raise DataError(f"{file}: {name} has a class that meta.json does not list; add it")
            try:
                drawing = _drawing(thing)
            except ShapeError as error:
                raise DataError(f"{file}: {name} {error}; correct it in Supervisely") from None
            yield Drawn(self.ids[thing.classTitle], drawing, name)


def _drawing(thing: Thing) -> Drawing:
    if thing.geometryType == "bitmap":
        if thing.bitmap is None or len(thing.bitmap.origin) != 2:
            raise ShapeError("is a bitmap without its pixels")
        left, top = (int(value) for value in thing.bitmap.origin)
        return Bitmap(_unpacked(thing.bitmap.data), left, top)
    points = thing.points or Points()
    if thing.geometryType == "rectangle":
        return Stroke("rectangle", _pairs(points.exterior))
    if thing.geometryType == "line":
        return Stroke("line", _pairs(points.exterior))
    if thing.geometryType != "polygon":
        raise ShapeError(f"is a {thing.geometryType or 'shape'}, which is not known")
    holes = tuple(_pairs(hole) for hole in points.interior)
    return Stroke("polygon", _pairs(points.exterior), holes=holes)


def _pairs(points: list[list[float]]) -> tuple[tuple[float, float], ...]:
    if any(len(point) != 2 for point in points):
        raise ShapeError("has a point that is no x, y pair")
    return tuple((x, y) for x, y in points)


def _unpacked(text: str) -> np.ndarray:
    """Returns the (h, w) bool mask of a packed PNG: where it is not transparent, or not black."""
    try:
        unpack: Any = zlib.decompressobj()
        content = unpack.decompress(base64.b64decode(text), LARGEST_BITMAP)
        with Image.open(io.BytesIO(content)) as image:
            channels = np.asarray(image.convert("RGBA"))
    except (
        zlib.error,
        binascii.Error,
        ValueError,
        OSError,
        SyntaxError,
        Image.DecompressionBombError,
    ):
        raise ShapeError("has a bitmap that is no packed PNG") from None
    opaque = channels[..., 3] > 0
    return np.asarray(opaque & channels[..., :3].any(2) if opaque.all() else opaque)


def write_meta(path: Path, vocabulary: Vocabulary) -> None:
    """Writes meta.json: every class as one that bitmaps have."""
    classes = [
        {
            "title": concept.name,
            "shape": "bitmap",
            "color": "#{:02X}{:02X}{:02X}".format(*(concept.color or (128, 128, 128))),
        }
        for concept in vocabulary
    ]
    save_json(path, {"classes": classes, "tags": []})


def write_objects(path: Path, result: Segmentation) -> None:
    """Writes the JSON of an image: a bitmap per segment, later ones above earlier ones."""
    height, width = result.size
    objects = [
        {
            "classTitle": result.vocabulary.names[segment.class_id],
            "geometryType": "bitmap",
            "description": "",
            "tags": [],
            "bitmap": {"data": _packed(segment.mask), "origin": list(segment.box_px[:2])},
        }
        for segment in result.segments
        if segment.mask.any()
    ]
    content = {
        "description": "",
        "tags": [],
        "size": {"height": height, "width": width},
        "objects": objects,
    }
    save_json(path, content)


def _packed(mask: np.ndarray) -> str:
    """Returns a (h, w) bool mask as Supervisely keeps it: a PNG, transparent outside, packed."""
    image = Image.fromarray(mask.astype(np.uint8), mode="P")
    image.putpalette([0, 0, 0, 255, 255, 255])
    png = io.BytesIO()
    image.save(png, format="PNG", transparency=0, bits=1)
    return base64.b64encode(zlib.compress(png.getvalue())).decode("ascii")
