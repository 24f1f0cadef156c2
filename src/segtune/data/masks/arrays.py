"""Masks as arrays of a user, checked: shape, type, values and size."""

from __future__ import annotations

from typing import Any

import numpy as np

from segtune.errors import SegtuneError

EXPECTED = "expected (N, H, W) bool, or COCO RLE, or a .json, .npy or .png file or a folder of PNGs"


def sized(masks: Any, size: tuple[int, int], what: str) -> np.ndarray:
    """Returns an array as (N, H, W) bool of the right size.

    Args:
        masks: (N, H, W) or (H, W), bool or zeros and one other value, 1 or 255.
        size: (H, W) of the upright image.
        what: names the masks in messages.

    Raises:
        SegtuneError: it is none, or of another size.
    """
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
    return masks if masks.dtype == bool else as_bool(masks, what)


def as_bool(masks: np.ndarray, what: str) -> np.ndarray:
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
