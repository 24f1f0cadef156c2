"""Label Studio JSON, as exported by "JSON". Read.

    project.json                 a list of tasks
    images/*.jpg                 as uploaded; the 8 letters that Label Studio puts before names may
                                 be there or not; also beside the JSON, or ?images=FOLDER

Polygons, rectangles, ellipses (in percent of the upright image, which is what Label Studio shows)
and brushes are read, of the newest annotation of a task that was not skipped; without any, its
predictions. Later regions lie above earlier ones. Key points, and tasks without a region drawn by
anybody, are left out. What nothing is drawn on is unlabelled, unless `?background=class` is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import msgspec
import numpy as np

from segtune.data.checks.left_out import Found, LeftOut
from segtune.data.drawn import Drawn, DrawnRecord, background_asked, classes_of_names, drawn_sample
from segtune.data.folders import UNSPLIT, choose_split, found_in, named_as
from segtune.data.formats.coco.files import sample_ids
from segtune.data.formats.labelstudio.brush import decoded
from segtune.data.masks.drawing import (
    Bitmap,
    Drawing,
    box_polygon,
    ellipse_polygon,
    turned_points,
)
from segtune.data.masks.shapes import ShapeError
from segtune.data.samples import IndexedDataset
from segtune.errors import DataError
from segtune.storage.images import IMAGE_SUFFIXES
from segtune.storage.json_files import read_json
from segtune.types import Sample, Vocabulary

SHAPES = ("polygon", "rectangle", "ellipse", "brush")
MOST_PIXELS = 1_000_000_000
PEEKED_BYTES = 65536
_PREFIX = re.compile(r"^[0-9a-f]{8}-")


class Region(msgspec.Struct):
    """An entry of "result"."""

    type: str = ""
    value: dict[str, Any] = {}
    original_width: float | None = None
    original_height: float | None = None
    id: str | int | None = None


class Annotation(msgspec.Struct):
    """What one person, or a model, has drawn."""

    result: list[Region] = []
    was_cancelled: bool = False


class Task(msgspec.Struct):
    """One image."""

    data: dict[str, Any]
    annotations: list[Annotation] = []
    predictions: list[Annotation] = []
    id: int | str | None = None


def detect(path: Path) -> float:
    """Returns 1 for such a JSON file, or a folder with one, else 0."""
    return float(_file(path) is not None)


def _file(path: Path) -> Path | None:
    files = [path] if path.is_file() else sorted(path.glob("*.json"))[:3]
    return next((file for file in files if file.suffix == ".json" and _is_export(file)), None)


def _is_export(file: Path) -> bool:
    with file.open("rb") as stream:
        start = stream.read(PEEKED_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    drawn = b'"annotations"' in start or b'"predictions"' in start
    return start[:1] == b"[" and drawn and (b'"result"' in start or b'"data"' in start)


def splits(path: Path) -> tuple[str, ...]:
    """Returns ("all",): projects are not divided."""
    return (UNSPLIT,) if _file(path) is not None else ()


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    images: str | None = None,
    background: str | None = None,
) -> IndexedDataset[DrawnRecord]:
    """Returns the images of a project with what was drawn on them.

    Args:
        path: the JSON, or the folder that it lies in.
        split: None.
        vocabulary: other names for the classes.
        images: folder of the photographs, where it is not found by itself.
        background: "class" makes what nothing is drawn on a class.
    """
    split = choose_split(splits(path), split, path=path)
    file = _file(path)
    assert file is not None  # choose_split found it
    tasks = read_json(file, list[Task])
    stated, regions, left_out = [], [], []
    for number, task in enumerate(tasks):
        name, drawn = _image_name(task, number, file), _drawn(task)
        if drawn is None:
            left_out.append(LeftOut(name, "nobody has drawn on it"))
            continue
        stated.append(name)
        regions.append(drawn)
    used = {label for drawn in regions for region in drawn if (label := _label(region))}
    if not used:
        raise DataError(f"{file} has no regions with labels; draw some, or export it as COCO")
    names, ids, rest = classes_of_names(
        sorted(used), name=file.stem, used=used, background=background_asked(background)
    )
    folders = [Path(images)] if images is not None else _folders(file)
    records = []
    for sample_id, name, drawn in zip(sample_ids(stated), stated, regions, strict=True):
        place = _find(name, folders, trusted=images is not None)
        if place is None:
            left_out.append(LeftOut(name, "image file is missing"))
        else:
            records.append(DrawnRecord(_PREFIX.sub("", sample_id), place, file, tuple(drawn)))
    if not records:
        raise DataError(
            f"none of the images of {file} is found, the first is {stated[0]}; put them into "
            f"{file.parent / 'images'}, or say where they are with ?images=FOLDER"
        )
    names = named_as(names, vocabulary, layout="labelstudio")
    loader = TaskLoader(ids, rest)
    return IndexedDataset(names.name, split, names, Found.of(records, left_out), loader)


def _drawn(task: Task) -> list[Region] | None:
    """Returns the regions of the newest annotation that counts; None where there is none."""
    valid = [a for a in task.annotations if not a.was_cancelled] or task.predictions
    return None if not valid else valid[-1].result


def _image_name(task: Task, number: int, file: Path) -> str:
    """Returns the path of the image of a task without address, and without what was added."""
    for value in task.data.values():
        if not isinstance(value, str):
            continue
        parsed = urlparse(value)
        local = parse_qs(parsed.query).get("d")
        name = unquote(local[0] if local else parsed.path).replace("\\", "/").lstrip("/")
        if Path(name).suffix.lower() in IMAGE_SUFFIXES:
            return re.sub(r"^data/upload/(\d+/)?", "", name)
    raise DataError(f"{file}: task {task.id or number} names no image; export image tasks")


def _folders(file: Path) -> list[Path]:
    near = (file.parent, file.parent.parent)
    return [folder / name for folder in near for name in ("images", "", "data", "upload")]


def _find(name: str, folders: list[Path], *, trusted: bool) -> Path | None:
    last = Path(name).name
    names = (name, last, _PREFIX.sub("", last))
    found = (found_in(f, n, trusted=trusted) for n in names for f in folders)
    return next((place for place in found if place is not None), None)


def _kind(region: Region) -> str | None:
    kind = region.type.removesuffix("labels")
    return kind if kind in SHAPES else None


def _label(region: Region) -> str | None:
    """Returns the label of a region that has one."""
    if _kind(region) is None:
        return None
    for key in (region.type, "labels"):
        found = region.value.get(key)
        if isinstance(found, list) and found:
            return str(found[0])
    return None


@dataclass(frozen=True)
class TaskLoader:
    """Reads the regions of a task.

    Attributes:
        ids: label -> class id.
        background: class of what nothing is drawn on.
    """

    ids: dict[str, int]
    background: int

    def __call__(self, record: DrawnRecord) -> Sample:
        assert record.label is not None  # read gives every record the file
        things = list(self._things(record))
        stated = next(
            ((r.original_height, r.original_width) for r in record.entry if _label(r)), (None, None)
        )
        known = DrawnRecord(record.id, record.image, record.label, stated_size=stated)
        return drawn_sample(known, things, file=record.label, background=self.background)

    def _things(self, record: DrawnRecord) -> Iterator[Drawn]:
        for number, region in enumerate(record.entry):
            label = _label(region)
            if label is None:
                continue
            name = f"{record.image.name}, region {region.id or number} ({label})"
            try:
                yield Drawn(self.ids[label], drawing_of(region), name)
            except ShapeError as error:
                raise DataError(f"{record.label}: {name} {error}; correct it there") from None


def drawing_of(region: Region) -> Drawing:
    """Returns what a region draws, in pixels of the size that Label Studio states.

    Raises:
        ShapeError: a number lacks or is none.
    """
    value = region.value
    height, width = region.original_height or 0, region.original_width or 0
    if not (height > 0 and width > 0 and height * width <= MOST_PIXELS):
        raise ShapeError("has no original_width and original_height")
    kind = _kind(region)
    if kind == "brush":
        packed = value.get("rle")
        if not isinstance(packed, list):
            raise ShapeError("is a brush without 'rle'")
        return Bitmap(decoded(packed, (round(height), round(width))))
    scale = np.array([width, height]) / 100
    if kind == "polygon":
        points = value.get("points")
        if not isinstance(points, list) or any(not _is_pair(point) for point in points):
            raise ShapeError("has points that are no x, y pairs")
        return [(np.array(points, float).reshape(-1, 2) * scale).ravel().tolist()]
    x, y = _number(value, "x") * scale[0], _number(value, "y") * scale[1]
    turn = _number(value, "rotation", 0.0)
    if kind == "ellipse":
        radii = (_number(value, "radiusX") * scale[0], _number(value, "radiusY") * scale[1])
        return ellipse_polygon((x, y), radii, degrees=turn)
    right = x + _number(value, "width") * scale[0]
    bottom = y + _number(value, "height") * scale[1]
    polygon = box_polygon(x, y, right, bottom)
    corners = np.array(polygon[0]).reshape(-1, 2)
    return [turned_points(corners, (x, y), turn).ravel().tolist()] if turn else polygon


def _is_pair(point: Any) -> bool:
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in point)
    )


def _number(value: dict[str, Any], key: str, default: float | None = None) -> float:
    number = value.get(key, default)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ShapeError(f"has {key}={number!r}; expected a number")
    if not np.isfinite(number):
        raise ShapeError(f"has {key}={number}")
    return float(number)
