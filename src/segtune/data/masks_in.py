"""Masks that a user brings: arrays, RLE and polygons, or files as `masks/source.py` lists them.

Masks refer to the upright image. What does not fit is refused with one line that says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from segtune.data.masks.arrays import sized
from segtune.data.masks.json_source import MaskEntry
from segtune.data.masks.shapes import ShapeError, decode_shape, is_shapeless
from segtune.data.masks.source import MaskSource
from segtune.errors import SegtuneError
from segtune.storage.json_files import convert

MasksLike = Any
"""An array (N, H, W) or (H, W), a list of arrays or RLE entries, or a path."""
Empty = Literal["refuse", "skip"]


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
            path as `masks/source.py` lists them.
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
        return MaskSource(masks).of(image, size, only_image=only_image)
    if hasattr(masks, "detach"):
        masks = masks.detach().cpu().numpy()
    if isinstance(masks, Sequence):
        entries = [_entry(entry, size, f"mask {number}") for number, entry in enumerate(masks)]
        return np.stack(entries) if entries else np.zeros((0, *size), bool)
    return sized(masks, size, "masks")


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


def _entry(entry: Any, size: tuple[int, int], where: str) -> np.ndarray:
    """Returns the (H, W) bool mask of one entry of a list."""
    if hasattr(entry, "detach"):
        entry = entry.detach().cpu().numpy()
    if isinstance(entry, Mapping) and "segmentation" in entry:
        entry = entry["segmentation"]
    if isinstance(entry, np.ndarray):
        if entry.ndim != 2:
            raise SegtuneError(f"{where} has the shape {entry.shape}; expected (H, W) or COCO RLE")
        return sized(entry, size, where)[0]
    entry = _plain(entry)
    entry = entry if isinstance(entry, Mapping) else {"segmentation": entry}
    shape = convert(entry, MaskEntry, where=where).shape
    if shape is None or is_shapeless(shape):
        raise SegtuneError(f"{where} has no segmentation; expected COCO RLE or polygons")
    try:
        return decode_shape(shape, size)
    except ShapeError as error:
        raise SegtuneError(f"{where} {error}; expected COCO RLE or polygons") from None


def _plain(value: Any) -> Any:
    """Returns shapes as JSON has them; pycocotools gives bytes, and others arrays in lists."""
    if isinstance(value, bytes):
        return value.decode("ascii", "replace")
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
