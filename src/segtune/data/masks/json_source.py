"""Masks in a JSON file: COCO annotations, lists of entries, or entries by image name."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from segtune.data.masks.arrays import EXPECTED
from segtune.data.masks.frames import Frame, frame_of
from segtune.data.masks.names import Names, nameless
from segtune.data.masks.shapes import Rle, Shape, ShapeError, is_shapeless
from segtune.errors import DataError
from segtune.storage.images import Header, read_header
from segtune.storage.json_files import convert, read_json

logger = logging.getLogger(__name__)


class MaskEntry(msgspec.Struct):
    """One mask of a JSON file: a shape, alone or as "segmentation" of an annotation."""

    segmentation: list[list[float]] | Rle | None = None
    size: list[int] | None = None
    counts: list[int] | str | None = None
    image_id: int | float | str | None = None
    id: int | float | str | None = None

    @property
    def shape(self) -> Shape | None:
        """Its polygons or RLE."""
        if self.size is not None and self.counts is not None:
            return Rle(self.size, self.counts)
        return self.segmentation


class ImageEntry(msgspec.Struct):
    """One image of a COCO file."""

    id: int | float | str
    file_name: str | None = None
    coco_url: str | None = None
    width: float | None = None
    height: float | None = None

    @property
    def name(self) -> str:
        """The file of the image; LVIS gives a URL that ends in folder and name."""
        return self.file_name or "/".join((self.coco_url or "").split("/")[-2:])


class JsonSource:
    """The masks of a JSON file, which is read once.

    Args:
        path, images, skip_bad: as for `MaskSource`.
    """

    def __init__(self, path: Path, images: Sequence[Path | str], *, skip_bad: bool) -> None:
        self.path = path
        self.images = images
        self.skip_bad = skip_bad

    def of(self, image: Path | str | None, size: tuple[int, int], only_image: bool) -> np.ndarray:
        """Returns the masks of an image, (N, H, W) bool; see `MaskSource.of`."""
        entries, stated = self._entries(image, only_image)
        frame = self._frame(image, size, stated)
        masks = []
        for number, raw in enumerate(entries):
            where = f"{self.path}: mask {number}"
            try:
                entry = convert(raw, MaskEntry, where=where)
                if entry.shape is None or is_shapeless(entry.shape):
                    raise DataError(f"{where} has no segmentation; expected COCO RLE or polygons")
                masks.append(frame.mask(entry.shape))
            except (DataError, ShapeError) as error:
                problem = str(error)
                if isinstance(error, ShapeError):
                    problem = f"{where} {error}; expected COCO RLE or polygons"
                if not self.skip_bad:
                    raise DataError(problem) from None
                logger.warning("left out: %s", problem)
        return np.stack(masks) if masks else np.zeros((0, *size), bool)

    def _frame(
        self, image: Path | str | None, size: tuple[int, int], stated: ImageEntry | None
    ) -> Frame:
        header = Header(size)
        if image is not None and Path(image).is_file():
            of_file = read_header(Path(image))
            header = of_file if of_file.upright == size else header
        sides = (None, None) if stated is None else (stated.height, stated.width)
        return frame_of(header, sides, what=f"{self.path}, {image}")

    def _entries(
        self, image: Path | str | None, only_image: bool
    ) -> tuple[Sequence[Any], ImageEntry | None]:
        """Returns the entries of one image and, in COCO files, what is said about the image."""
        content = self._content
        if isinstance(content, _Coco):
            found = content.names.find(image) if image is not None else content.only_name
            if found is None:
                raise self._unknown(content.names.known, image)
            return content.entries[found], content.images[found]
        if isinstance(content, list):
            return self._of_list(content, image, only_image), None
        if image is None:
            key = next(iter(content)) if len(content) == 1 else None
        else:
            key = self._names.find(image)
        if key is None:
            raise self._unknown(tuple(content), image)
        return content[key], None

    @cached_property
    def _names(self) -> Names:
        """The images of a document that is an object by name."""
        assert isinstance(self._content, dict)
        return Names(self._content, where=self.path, images=self.images)

    def _of_list(self, entries: list[Any], image: Path | str | None, only_image: bool) -> list[Any]:
        """Returns those of a list without images: all, or those whose image id is the name."""
        if len(self._by_id) <= 1 and only_image:
            return entries
        if image is not None:
            stem = Path(image).stem
            number = str(int(stem)) if stem.isdecimal() else stem
            found = self._by_id.keys() & {stem, Path(image).name, number}
            if len(found) == 1:
                return self._by_id[found.pop()]
        raise nameless(self.path, image)

    @cached_property
    def _by_id(self) -> dict[str, list[Any]]:
        """The entries of a document that is a list, by image id."""
        assert isinstance(self._content, list)
        by_id: dict[str, list[Any]] = defaultdict(list)
        for entry in self._content:
            by_id[id_text(entry.get("image_id"))].append(entry)
        return by_id

    def _unknown(self, names: Sequence[str], image: Path | str | None) -> DataError:
        known = ", ".join(names[:3]) or "none"
        asked = "of several images" if image is None else f"but none for {Path(image).name}"
        return DataError(f"{self.path} has masks {asked}; its images are {known}")

    @cached_property
    def _content(self) -> _Coco | list[Any] | dict[str, list[Any]]:
        """The document: COCO with images, a list of entries, or entries by image name."""
        content = read_json(self.path, Any)
        entries = content.get("annotations") if isinstance(content, dict) else content
        if isinstance(entries, list):
            if not all(isinstance(entry, Mapping) for entry in entries):
                raise DataError(
                    f"{self.path} has entries that are no masks; expected COCO RLE or polygons"
                )
            if isinstance(content, dict) and isinstance(content.get("images"), list):
                return _Coco(content["images"], entries, self.path, self.images)
            return entries
        if isinstance(content, dict) and all(isinstance(each, list) for each in content.values()):
            return content
        raise DataError(f"{self.path} holds no masks; {EXPECTED}")


class _Coco:
    """A COCO document by image name."""

    def __init__(
        self, images: list[Any], annotations: list[Any], path: Path, run: Sequence[Path | str]
    ) -> None:
        listed = convert(images, list[ImageEntry], where=f"{path}: images")
        self.names = Names((entry.name for entry in listed), where=path, images=run)
        self.images = {entry.name: entry for entry in listed}
        name_of: dict[str, str] = {}
        for entry in listed:
            if id_text(entry.id) in name_of:
                raise DataError(f"{path} has two images with the id {entry.id}; renumber one")
            name_of[id_text(entry.id)] = entry.name
        self.entries: dict[str, list[Any]] = {name: [] for name in self.images}
        for number, annotation in enumerate(annotations):
            name = name_of.get(id_text(annotation.get("image_id")))
            if name is None:
                raise DataError(
                    f"{path}: mask {number} has the image id {annotation.get('image_id')}, "
                    "which is not in its list of images"
                )
            self.entries[name].append(annotation)

    @property
    def only_name(self) -> str | None:
        """The image, where there is one."""
        return next(iter(self.images)) if len(self.images) == 1 else None


def id_text(number: object) -> str:
    """Returns an id as text, so that 1, 1.0 and "1" are the same.

    Example:
        >>> id_text(1) == id_text("1") == id_text(1.0)
        True
    """
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    return str(number)
