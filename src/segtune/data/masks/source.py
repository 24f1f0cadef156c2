"""One file or folder with masks, of one image or of many, read once.

    masks.json            COCO annotations, a COCO result list, one image of SA-1B, or
                          {"a.jpg": [{"size": [H, W], "counts": "..."}, ...]}
    masks.npy             (N, H, W)
    masks.png             every value above 0, or every colour, is one mask
    masks/*.png           one mask each: above 0 is inside
    masks/a/*.png         the same for the image a.jpg, where there are several images
    masks/a.png           every value above 0 is one mask of the image a.jpg

Below `masks/` the folders of the images may be repeated: `masks/cam2/0001.png`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from segtune.data.folders import find_files
from segtune.data.images import LABEL_SUFFIXES
from segtune.data.masks.arrays import EXPECTED, sized
from segtune.data.masks.files import MASK_SUFFIXES, read_mask, read_regions
from segtune.data.masks.json_source import JsonSource
from segtune.data.masks.names import Names, nameless
from segtune.errors import DataError
from segtune.storage.arrays import read_npy

logger = logging.getLogger(__name__)


class MaskSource:
    """The masks in a file or folder, by image.

    Args:
        path: as the module docstring lists them.
        images: all images of this run, so that none gets the masks of another; masks without the
            name of an image are of the only one.
        skip_bad: leave damaged masks of JSON files out, and say so in the log.

    Raises:
        FileNotFoundError: there is nothing at the path.
    """

    def __init__(
        self, path: Path | str, *, images: Sequence[Path | str] = (), skip_bad: bool = False
    ) -> None:
        self.path = Path(path)
        self.images = images
        if not self.path.exists():
            raise FileNotFoundError(f"masks {path} do not exist; check the path")
        is_json = self.path.suffix.lower() == ".json" and self.path.is_file()
        self._json = JsonSource(self.path, images, skip_bad=skip_bad) if is_json else None

    def of(
        self, image: Path | str | None, size: tuple[int, int], *, only_image: bool = True
    ) -> np.ndarray:
        """Returns the masks of an image, (N, H, W) bool.

        Args:
            image: its file name; None where there is one set of masks only.
            size: (H, W) of the upright image.
            only_image: masks that carry no name of an image are of this one; otherwise refused.

        Raises:
            SegtuneError: there are none for this image, or they are damaged or of another size.
        """
        if self._json is not None:
            return self._json.of(image, size, only_image)
        path, suffix = self.path, self.path.suffix.lower()
        if path.is_dir() and image is not None and (found := self._below.find(image)) is not None:
            path = path / found
            return _of_folder(path, size) if path.is_dir() else _of_picture(path, size)
        if not only_image:
            raise nameless(path, image)
        if path.is_dir():
            return _of_folder(path, size)
        if suffix == ".npy":
            return sized(_load_array(path), size, str(path))
        if suffix in MASK_SUFFIXES:
            return _of_picture(path, size)
        raise DataError(f"{path} is no file of masks; {EXPECTED}")

    @cached_property
    def _below(self) -> Names:
        """The folders with masks, and the files, below a folder."""
        return Names(_entries_below(self.path), where=self.path, images=self.images)


def _load_array(path: Path) -> np.ndarray:
    try:
        return read_npy(path)
    except (OSError, DataError):
        raise DataError(f"{path} is not a numpy file of masks; {EXPECTED}") from None


def _entries_below(folder: Path) -> Iterator[str]:
    """Yields folders that hold masks, and files of masks, by their path below `folder`."""
    for path in sorted(folder.rglob("*")):
        if path.name.startswith("."):
            continue
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            if find_files(path, MASK_SUFFIXES):
                yield name
        elif path.suffix.lower() in LABEL_SUFFIXES:
            yield name


def _of_folder(folder: Path, size: tuple[int, int]) -> np.ndarray:
    """Returns one mask per file."""
    files = find_files(folder, MASK_SUFFIXES)
    if not files:
        raise DataError(f"folder {folder} has no masks; expected one PNG per mask")
    masks = [sized(read_mask(file), size, str(file))[0] for file in files]
    _name_full(zip(map(str, files), masks, strict=True))
    return np.stack(masks)


def _of_picture(file: Path, size: tuple[int, int]) -> np.ndarray:
    """Returns one mask per value above 0, or per colour."""
    values, masks = read_regions(file)
    masks = sized(masks, size, str(file))
    _name_full((f"{value} of {file}", mask) for value, mask in zip(values, masks, strict=True))
    return masks


def _name_full(masks: Iterable[tuple[str, np.ndarray]]) -> None:
    """Says in the log which masks leave nothing outside."""
    for name, mask in masks:
        if mask.size and mask.all():
            logger.warning("the mask %s is full: every pixel is inside", name)
