"""The annotation files of LVIS v1 and COCO, entry by entry; masks stay the bytes that they are.

A file of a gigabyte is mapped, not read: what is in memory are the places of its entries.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from segtune.errors import DataError
from segtune.storage.json_files import BOM, decode_json, read_json

T = TypeVar("T", bound=msgspec.Struct)


class Image(msgspec.Struct, gc=False):
    """What is looked at of an entry of "images"."""

    id: int


class Category(msgspec.Struct, gc=False):
    """What is looked at of an entry of "categories"."""

    id: int
    name: str
    frequency: str | None = None


class Annotation(msgspec.Struct, gc=False):
    """An object, with all that is written of it; masks, areas and boxes are left as they are."""

    id: int
    image_id: int
    category_id: int
    segmentation: msgspec.Raw
    area: msgspec.Raw
    bbox: msgspec.Raw
    iscrowd: int = 0


class _PlainAnnotation(msgspec.Struct, gc=False):
    """The same, for messages of what does not fit."""

    id: int
    image_id: int
    category_id: int
    segmentation: Any
    area: Any
    bbox: Any
    iscrowd: int = 0


_PLAIN: dict[type, Any] = {Annotation: _PlainAnnotation}


class Reference(msgspec.Struct, gc=False):
    """An object without its mask."""

    id: int
    image_id: int
    category_id: int


class _Parts(msgspec.Struct):
    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    categories: list[msgspec.Raw]
    info: msgspec.Raw = msgspec.Raw(b"")
    licenses: msgspec.Raw = msgspec.Raw(b"")


@dataclass(frozen=True)
class AnnotationFile:
    """A JSON file of instances.

    Attributes:
        categories: in the order of the file.
    """

    path: Path
    parts: _Parts

    @classmethod
    def open(cls, path: Path) -> AnnotationFile:
        """Returns the file, of which the entries are not yet looked at.

        Raises:
            FileNotFoundError: there is none.
            DataError: it is no JSON with images, annotations and categories.
        """
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; check the path")
        try:
            return cls(path, msgspec.json.decode(_mapped(path), type=_Parts))
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError):
            read_json(path, _Lists)  # says what is wrong where
            raise DataError(f"{path} is not valid JSON; copy the file again") from None

    @cached_property
    def categories(self) -> tuple[Category, ...]:
        """Its classes."""
        return tuple(self._read(self.parts.categories, Category, "categories"))

    @cached_property
    def image_ids(self) -> tuple[int, ...]:
        """Ids of its images, in the order of the file."""
        return tuple(image.id for image in self._read(self.parts.images, Image, "images"))

    def images(self) -> Iterator[tuple[int, msgspec.Raw]]:
        """Yields the id and the JSON of every image."""
        yield from zip(self.image_ids, self.parts.images, strict=True)

    def annotations(self) -> Iterator[Annotation]:
        """Yields every object."""
        return self._read(self.parts.annotations, Annotation, "annotations")

    def references(self) -> Iterator[Reference]:
        """Yields every object without its mask."""
        return self._read(self.parts.annotations, Reference, "annotations")

    def rest(self) -> dict[str, Any]:
        """Returns what follows the lists in a file that is made of this one."""
        values: dict[str, Any] = {
            "categories": [msgspec.json.decode(c) for c in self.parts.categories]
        }
        for name in ("info", "licenses"):
            raw = getattr(self.parts, name)
            if bytes(raw):
                values[name] = msgspec.json.decode(raw)
        return values

    def _read(self, entries: Sequence[msgspec.Raw], kind: type[T], name: str) -> Iterator[T]:
        decoder = msgspec.json.Decoder(kind)
        for position, raw in enumerate(entries):
            try:
                yield decoder.decode(raw)
            except msgspec.ValidationError:
                where = f"{self.path}: entry {position} of {name!r}"
                decode_json(bytes(raw), _PLAIN.get(kind, kind), where=where)
                raise


class _Lists(msgspec.Struct):
    images: list[Image]
    annotations: list[Reference]
    categories: list[Category]


def _mapped(path: Path) -> memoryview:
    """Returns the bytes of a file without a byte order mark."""
    with path.open("rb") as stream:
        whole = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    return whole[len(BOM) :] if whole[: len(BOM)] == BOM else whole


def check_names(file: AnnotationFile, names: Mapping[int, str], *, what: str, few: bool) -> None:
    """Raises where a file is not of the data set that it is taken for.

    Args:
        names: id -> name of the classes that the data set has.
        what: the data set.
        few: the file may list some of the classes only.
    """
    for category in file.categories:
        expected = names.get(category.id)
        if expected != category.name and (expected is not None or not few):
            raise DataError(
                f"{file.path}: category {category.id} is {category.name!r}; "
                f"{what} calls it {expected!r}; give the file of {what}"
            )
