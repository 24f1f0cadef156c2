"""Masks that a user brings: arrays, COCO RLE and polygons, JSON files, PNGs, folders of PNGs.

    masks.json            COCO annotations, a COCO result list, one image of SA-1B, or
                          {"a.jpg": [{"size": [H, W], "counts": "..."}, ...]}
    masks.npy             (N, H, W)
    masks.png             every value above 0 is one mask
    masks/*.png           one mask each: above 0 is inside
    masks/a/*.png         the same for the image a.jpg, where there are several images
    masks/a.png           every value above 0 is one mask of the image a.jpg

Masks refer to the upright image. What does not fit is refused with one line that says which.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segtune.data.folders import find_files
from segtune.data.formats.coco_instances import decode_mask
from segtune.data.images import LABEL_SUFFIXES, read_label_map
from segtune.errors import DataError, SegtuneError
from segtune.storage.arrays import read_npy
from segtune.storage.images import read_image

MasksLike = Any
"""An array (N, H, W) or (H, W), a list of arrays or RLE entries, or a path; see the module."""
Empty = Literal["refuse", "skip"]
EXPECTED = "expected (N, H, W) bool, or COCO RLE, or a .json, .npy or .png file or a folder of PNGs"


def read_masks(
    masks: MasksLike,
    size: tuple[int, int],
    *,
    image: Path | str | None = None,
    only_image: bool = True,
) -> np.ndarray:
    """Returns the masks as (N, H, W) bool.

    Args:
        masks: a numpy array or torch tensor, bool or of zeros and ones (or zeros and 255); a list
            of such (H, W) arrays, of COCO RLE entries, or of entries with a "segmentation"; or a
            path as the module docstring lists them.
        size: (H, W) of the upright image.
        image: its file name, by which files with masks of several images are searched.
        only_image: masks that carry no name of an image are of this one; otherwise refused.

    Raises:
        SegtuneError, FileNotFoundError: other size, type or layout, NaN, a missing file.

    Example:
        >>> corner = {"size": [2, 3], "counts": [0, 2, 4]}
        >>> read_masks([corner], (2, 3)).tolist()
        [[[True, False, False], [True, False, False]]]
    """
    if isinstance(masks, str | Path):
        path = Path(masks)
        found = _from_path(path, size, Path(image) if image else None, only_image)
        return _sized(found, size, str(path))
    if hasattr(masks, "detach"):
        masks = masks.detach().cpu().numpy()
    if isinstance(masks, Sequence):
        entries = [_entry(entry, size, f"mask {number}") for number, entry in enumerate(masks)]
        return np.stack(entries) if entries else np.zeros((0, *size), bool)
    return _sized(masks, size, "masks")


def without_empty(masks: np.ndarray, empty: Empty) -> tuple[np.ndarray, list[int]]:
    """Returns the (N, H, W) masks that have a pixel, and their places among those given.

    Raises:
        SegtuneError: there is an empty one and `empty` is "refuse".
    """
    kept = np.flatnonzero(masks.any((1, 2)))
    if len(kept) < len(masks) and empty == "refuse":
        numbers = sorted(set(range(len(masks))) - set(kept.tolist()))
        which = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
        raise SegtuneError(
            f"{len(numbers)} of {len(masks)} masks are empty: number {which}, counted from 0; "
            'remove them, or skip them with empty="skip" (--skip-empty)'
        )
    return masks[kept], kept.tolist()


# -- arrays -----------------------------------------------------------------------------------


def _sized(masks: Any, size: tuple[int, int], what: str) -> np.ndarray:
    """Returns an array as (N, H, W) bool of the right size."""
    if not isinstance(masks, np.ndarray):
        raise SegtuneError(f"{what} are a {type(masks).__name__}; {EXPECTED}")
    if masks.ndim == 2:
        masks = masks[None]
    if masks.ndim != 3:
        raise SegtuneError(f"{what} have the shape {masks.shape}; {EXPECTED}")
    height, width = size
    if masks.shape[1:] != size:
        h, w = masks.shape[1:]
        hint = "resize them to it"
        if (w, h) == size:
            hint = "turn them, as the image is turned upright by its EXIF orientation"
        raise SegtuneError(f"{what} are {w}x{h} but the image is {width}x{height}; {hint}")
    return masks if masks.dtype == bool else _as_bool(masks, what)


def _as_bool(masks: np.ndarray, what: str) -> np.ndarray:
    """Returns bool masks of numbers that are zero and one other value, 1 or 255."""
    if not np.issubdtype(masks.dtype, np.number):
        raise SegtuneError(f"{what} are of type {masks.dtype}; {EXPECTED}")
    if np.issubdtype(masks.dtype, np.inexact) and np.isnan(masks).any():
        number = int(np.isnan(masks).any((1, 2)).argmax())
        raise SegtuneError(f"{what} have NaN in number {number}, counted from 0; {EXPECTED}")
    inside = masks == (255 if masks.size and masks.max() == 255 else 1)
    if not (inside | (masks == 0)).all():
        raise SegtuneError(
            f"{what} are {masks.dtype} from {masks.min():g} to {masks.max():g}; threshold them "
            "first, for example masks > 0.5 for probabilities or masks > 0 for logits"
        )
    return inside


def _entry(entry: Any, size: tuple[int, int], where: str) -> np.ndarray:
    """Returns the (H, W) bool mask of one entry of a list."""
    if hasattr(entry, "detach"):
        entry = entry.detach().cpu().numpy()
    if isinstance(entry, Mapping) and "segmentation" in entry:
        entry = entry["segmentation"]
    if isinstance(entry, np.ndarray):
        if entry.ndim != 2:
            raise SegtuneError(f"{where} has the shape {entry.shape}; expected (H, W) or COCO RLE")
        return _sized(entry, size, where)[0]
    try:
        return decode_mask(entry, size)
    except (ValueError, TypeError) as error:
        raise SegtuneError(f"{where} {error}; expected COCO RLE or polygons") from None


# -- files ------------------------------------------------------------------------------------


def _from_path(
    path: Path, size: tuple[int, int], image: Path | None, only_image: bool
) -> np.ndarray:
    if not path.exists():
        raise FileNotFoundError(f"masks {path} do not exist; check the path")
    suffix = path.suffix.lower()
    if image is not None and path.is_dir():
        if (path / image.stem).is_dir():
            return _from_folder(path / image.stem, size)
        for ending in LABEL_SUFFIXES:
            if (path / f"{image.stem}{ending}").is_file():
                return _from_index_map(path / f"{image.stem}{ending}")
    elif suffix == ".json":
        return _from_json(path, size, image, only_image)
    if not only_image:
        raise _nameless(path, image)
    if path.is_dir():
        return _from_folder(path, size)
    if suffix == ".npy":
        try:
            return read_npy(path)
        except (OSError, DataError):
            raise DataError(f"{path} is not a numpy file of masks; {EXPECTED}") from None
    if suffix in LABEL_SUFFIXES:
        return _from_index_map(path)
    raise DataError(f"{path} is no file of masks; {EXPECTED}")


def _nameless(path: Path, image: Path | None) -> DataError:
    stem = "NAME" if image is None else image.stem
    return DataError(
        f"{path} has no masks for {stem}; for several images give a folder with {stem}/*.png or "
        f"{stem}.png, or a COCO file with file names"
    )


def _from_folder(folder: Path, size: tuple[int, int]) -> np.ndarray:
    files = find_files(folder, LABEL_SUFFIXES)
    if not files:
        raise DataError(f"folder {folder} has no masks; expected one PNG per mask")
    return np.stack([_sized(read_image(file).any(2), size, str(file))[0] for file in files])


def _from_index_map(file: Path) -> np.ndarray:
    """Returns one mask per value above 0, in the order of the values."""
    labels = read_label_map(file)
    values = np.unique(labels[labels > 0])
    return labels[None] == values[:, None, None]


def _from_json(
    file: Path, size: tuple[int, int], image: Path | None, only_image: bool
) -> np.ndarray:
    try:
        content = json.loads(file.read_bytes())
    except ValueError:
        raise DataError(f"{file} is not valid JSON; copy the file again") from None
    entries = _entries_of(content, file, image, only_image)
    if not all(isinstance(entry, Mapping) for entry in entries):
        raise DataError(f"{file} has entries that are no masks; expected COCO RLE or polygons")
    masks = [_entry(entry, size, f"{file}: mask {i}") for i, entry in enumerate(entries)]
    return np.stack(masks) if masks else np.zeros((0, *size), bool)


def _entries_of(content: Any, file: Path, image: Path | None, only_image: bool) -> list[Any]:
    """Returns the entries of one image in a JSON document."""
    entries = content.get("annotations") if isinstance(content, dict) else content
    if isinstance(entries, list) and not (isinstance(content, dict) and "images" in content):
        ids = {entry.get("image_id") for entry in entries if isinstance(entry, Mapping)}
        if len(ids) > 1 or not only_image:
            raise _nameless(file, image)
        return entries
    if isinstance(entries, list) and isinstance(content["images"], list):
        names = {str(item.get("file_name", "")): item.get("id") for item in content["images"]}
        wanted = names[_match(names, file, image)]
        return [entry for entry in entries if entry.get("image_id") == wanted]
    if isinstance(content, dict) and all(isinstance(value, list) for value in content.values()):
        return content[_match(content, file, image)]
    raise DataError(f"{file} holds no masks; {EXPECTED}")


def _match(names: Mapping[str, Any], file: Path, image: Path | None) -> str:
    """Returns the key of an image; the only one where none is asked for."""
    if image is None and len(names) == 1:
        return next(iter(names))
    for name in names if image is not None else ():
        assert image is not None
        if name in (str(image), image.stem) or Path(name).name == image.name:
            return name
    known = ", ".join(list(names)[:3]) or "none"
    asked = "of several images" if image is None else f"but none for {image.name}"
    raise DataError(f"{file} has masks {asked}; its images are {known}")
