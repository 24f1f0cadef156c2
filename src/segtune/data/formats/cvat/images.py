"""CVAT for images 1.1: annotations.xml with all images of a task or project. Read.

    annotations.xml   images/*.jpg                  also images/SUBSET/ and beside the XML
    any.xml                                         ?images=FOLDER

Shapes are painted by `z_order`, then as they follow. Shapes of one label and `group_id` are one
object. Attributes are not read. Lines, points, skeletons and tags are no regions and are left out.
What nothing is drawn on is unlabelled, unless `?background=class` is given or there is a label
called background that nobody draws. CVAT shows photographs upright, and states the size of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, iterparse

from segtune.data.checks.left_out import Found, LeftOut
from segtune.data.drawn import Drawn, DrawnRecord, background_asked, classes_of_names, drawn_sample
from segtune.data.folders import SPLIT_FOLDERS, UNSPLIT, choose_split, found_in, named_as
from segtune.data.formats.coco.files import sample_ids
from segtune.data.formats.cvat.shapes import NO_REGIONS, REGIONS, drawing_of
from segtune.data.masks.shapes import ShapeError
from segtune.data.samples import IndexedDataset
from segtune.errors import DataError
from segtune.storage.images import IMAGE_SUFFIXES
from segtune.types import Sample, Vocabulary

PEEKED_BYTES = 4096
"""Beginning of an XML file in which its kind is seen."""


def detect(path: Path) -> float:
    """Returns 1 for an XML file of CVAT, or a folder with one, else 0."""
    return float(_file(path) is not None)


def _file(path: Path) -> Path | None:
    files = [path] if path.is_file() else sorted(path.glob("*.xml"))
    return next((file for file in files if file.suffix == ".xml" and _is_cvat(file)), None)


def _is_cvat(file: Path) -> bool:
    with file.open("rb") as stream:
        start = stream.read(PEEKED_BYTES)
    return b"<annotations" in start and (b"<image" in start or b"<meta" in start)


def splits(path: Path) -> tuple[str, ...]:
    """Returns the subsets of the images; ("all",) where there are none."""
    file = _file(path)
    if file is None:
        return ()
    found = dict.fromkeys(_split(image.get("subset")) for image in _read_file(file)[1])
    return tuple(sorted(found, key=lambda split: (split != "train", split))) or (UNSPLIT,)


def _split(subset: str | None) -> str:
    if subset is None or subset.lower() == "default":
        return UNSPLIT
    known = {name: split for split, names in SPLIT_FOLDERS.items() for name in names}
    return known.get(subset.lower(), subset.lower())


def _read_file(file: Path) -> tuple[list[str], list[Element]]:
    """Returns the labels of a file in order, and its image elements."""
    labels: list[str] = []
    images: list[Element] = []
    try:
        for _, element in iterparse(file, events=("end",)):
            if element.tag == "image":
                images.append(element)
            elif element.tag == "label" and (name := element.findtext("name")):
                labels.append(name.strip())
            elif element.tag == "track":
                raise DataError(
                    f"{file} is 'CVAT for video'; export the task as 'CVAT for images 1.1'"
                )
    except (ParseError, LookupError, ValueError) as error:  # the last two of strange encodings
        if isinstance(error, DataError):
            raise
        raise DataError(f"{file} is not valid XML: {error}; export it again") from None
    return list(dict.fromkeys(labels)), images


def read(
    path: Path,
    *,
    split: str | None = None,
    vocabulary: Vocabulary | None = None,
    images: str | None = None,
    background: str | None = None,
) -> IndexedDataset[DrawnRecord]:
    """Returns the images of an XML file with what was drawn on them.

    Args:
        path: the file, or the folder of an export.
        split: a subset, where the project has them.
        vocabulary: other names for the classes.
        images: folder of the photographs, where it is not found by itself.
        background: "class" makes what nothing is drawn on a class.
    """
    split = choose_split(splits(path), split, path=path)
    file = _file(path)
    assert file is not None  # choose_split found it
    labels, every = _read_file(file)
    elements = [image for image in every if _split(image.get("subset")) == split]
    used, left_out = _used(elements)
    names, ids, rest = classes_of_names(
        labels or sorted(used),
        name=path.resolve().stem,
        used=used,
        background=background_asked(background),
    )
    if unknown := sorted(used - set(ids)):
        raise DataError(f"{file} draws {unknown[0]!r}, which is not in its list of labels; add it")
    stated = [image.get("name", "").replace("\\", "/") for image in elements]
    folders = _folders(file, images)
    records = []
    for sample_id, name, element in zip(sample_ids(stated), stated, elements, strict=True):
        place = _find(name, element.get("subset"), folders, trusted=images is not None)
        if place is None:
            left_out.append(LeftOut(name, "image file is missing"))
        else:
            records.append(DrawnRecord(sample_id, place, file, element, _size(element)))
    if elements and not records:
        raise DataError(
            f"none of the images of {file} is found, the first is {stated[0]}; put them into "
            f"{file.parent / 'images'}, or say where they are with ?images=FOLDER"
        )
    names = named_as(names, vocabulary, layout="cvat")
    return IndexedDataset(
        names.name, split, names, Found.of(records, left_out), CvatLoader(ids, rest)
    )


def _used(images: list[Element]) -> tuple[set[str], list[LeftOut]]:
    """Returns the labels of regions, and the shapes that are none."""
    shapes = [shape for image in images for shape in image]
    used = {shape.get("label", "") for shape in shapes if shape.tag in REGIONS}
    left_out = [
        LeftOut(f"{shape.tag} ({shape.get('label')})", f"a {shape.tag}, which is no region")
        for shape in shapes
        if shape.tag in NO_REGIONS
    ]
    return used, left_out


def _folders(file: Path, images: str | None) -> list[Path]:
    if images is not None:
        return [Path(images)]
    return [file.parent / "images", file.parent, file.parent.parent / "images", file.parent.parent]


def _find(name: str, subset: str | None, folders: list[Path], *, trusted: bool) -> Path | None:
    for folder in folders:
        for stated in (name, f"{subset or 'default'}/{name}", Path(name).name):
            place = found_in(folder, stated, trusted=trusted)
            if place is not None and place.suffix.lower() in IMAGE_SUFFIXES:
                return place
    return None


def _size(image: Element) -> tuple[float | None, float | None]:
    try:
        return float(image.get("height", "")), float(image.get("width", ""))
    except ValueError:
        return None, None


@dataclass(frozen=True)
class CvatLoader:
    """Reads the shapes of an image element.

    Attributes:
        ids: label -> class id.
        background: class of what nothing is drawn on.
    """

    ids: dict[str, int]
    background: int

    def __call__(self, record: DrawnRecord) -> Sample:
        assert record.label is not None  # read gives every record the file
        things = list(self._things(record))
        return drawn_sample(record, things, file=record.label, background=self.background)

    def _things(self, record: DrawnRecord) -> Iterator[Drawn]:
        shapes = [shape for shape in record.entry if shape.tag in REGIONS]
        order = sorted(range(len(shapes)), key=lambda i: _layer(shapes[i]))
        for number in order:
            shape = shapes[number]
            label = shape.get("label", "")
            name = f"image {record.entry.get('name')}, {shape.tag} {number} ({label})"
            try:
                drawing = drawing_of(shape)
            except ShapeError as error:
                raise DataError(f"{record.label}: {name} {error}; correct it in CVAT") from None
            group = shape.get("group_id")
            yield Drawn(self.ids[label], drawing, name, None if group in (None, "0") else group)


def _layer(shape: Element) -> int:
    text = shape.get("z_order", "0")
    return int(text) if text.lstrip("-").isdecimal() else 0
