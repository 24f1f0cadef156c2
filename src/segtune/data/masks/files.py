"""Masks and label maps in picture files, read as numbers and never as photographs.

Palettes give their indices and not their colours; 1, 2, 4, 8, 16 and 32 bits, floating point, alpha
and colours are kept apart; EXIF turns them upright. What a number means is decided by the caller:

    read_mask       one mask: above 0 is inside, by value or by palette index
    read_regions    one mask per value, or per colour, that is not 0
    read_numbers    the raw class numbers of a label map
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps

from segtune.data.masks.jpeg import black_and_white, nearest_declared
from segtune.errors import DataError
from segtune.storage.images import opened

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif", ".jpg", ".jpeg", ".webp")
"""Files of one mask each; JPEG only where it holds black and white."""
MOST_REGIONS = 2000
"""Values or colours beyond which a file is a photograph or has soft edges."""
SOFT_VALUES = 8
"""A grey file with more values may be one mask with soft edges."""

_STRETCH = {"L;2": 85, "L;4": 17}
_GREY_MODES = ("1", "L", "I", "I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True)
class Stored:
    """The numbers in a picture file, upright.

    Attributes:
        path: the file.
        values: (H, W) integers or floats, or (H, W, 3) uint8 colours.
        mode: what Pillow calls it, such as "P" for palettes.
        alpha: (H, W) uint8, where some pixel is not opaque.
        palette: (P, 3) uint8 colours of the indices, where there is one.
        is_lossy: the file is a JPEG, whatever its name.
    """

    path: Path
    values: np.ndarray
    mode: str
    alpha: np.ndarray | None = None
    palette: np.ndarray | None = None
    is_lossy: bool = False

    @property
    def is_coloured(self) -> bool:
        """Whether pixels are colours."""
        return self.values.ndim == 3

    def colors(self) -> np.ndarray | None:
        """Returns (H, W, 3) uint8 colours, of palettes too; None where one channel is stored."""
        if self.palette is not None:
            entries = np.zeros((256, 3), np.uint8)
            entries[: len(self.palette)] = self.palette
            return entries[self.values]
        if self.is_coloured:
            return self.values
        is_grey = self.mode in ("RGB", "RGBA")
        return np.repeat(self.values[..., None], 3, axis=2) if is_grey else None


def read_stored(path: Path | str, *, what: str = "mask file") -> Stored:
    """Returns what a file of masks or labels holds; `what` names it in messages.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: it is damaged, has several pages, or is no kind of picture that holds masks.
    """
    path = Path(path)
    with opened(path, what=what) as image:
        is_lossy = image.format in ("JPEG", "MPO")
        pages = getattr(image, "n_frames", 1)
        if pages > 1 and not is_lossy:
            raise DataError(f"{path} has {pages} pages or frames; save one per file, or a .npy")
        raw = image.tile[0].args if isinstance(image, ImageFile.ImageFile) and image.tile else None
        raw = raw[0] if isinstance(raw, tuple) else raw
        stretch = _STRETCH.get(raw, 1) if isinstance(raw, str) else 1
        upright = ImageOps.exif_transpose(image)
        palette = _palette(upright)
        mode = upright.mode
        values = _channels(upright, path)
        if isinstance(raw, str) and ";16" in raw and values.ndim == 3:
            _check_deep(values, path)
    alpha = None
    if mode in ("LA", "PA", "RGBA"):
        values, last = values[..., :-1], values[..., -1]
        values = values[..., 0] if values.shape[2] == 1 else values
        alpha = last if (last < 255).any() else None
    if values.ndim == 3 and (values == values[..., :1]).all():
        values = values[..., 0]  # grey saved as colours
    # Grey PNGs of 2 or 4 bits per pixel are stretched to 0..255 on reading: undo that.
    return Stored(
        path, values // stretch if stretch > 1 else values, mode, alpha, palette, is_lossy
    )


def read_mask(path: Path | str) -> np.ndarray:
    """Returns the (H, W) bool mask of a file: what is above 0 is inside.

    Transparent pixels are outside; where all that is opaque has one colour, or as many as a
    photograph, what is not transparent is inside.
    """
    stored = read_stored(path)
    if stored.is_lossy:
        return black_and_white(stored.values, path=path)
    if stored.palette is not None:
        _check_palette(stored)
    if not stored.is_coloured:
        _check_numbers(stored)
    inside = np.asarray(stored.values.any(2) if stored.is_coloured else stored.values > 0)
    if stored.alpha is None:
        return inside
    opaque = stored.alpha > 0
    return np.asarray(inside & opaque if _is_painted(stored, opaque) else opaque)


def read_regions(path: Path | str) -> tuple[list[int], np.ndarray]:
    """Returns the values above 0 of a file, or its colours, and the (N, H, W) bool mask of each.

    Colours are R + 256 G + 65536 B. Transparent pixels are in no mask.
    """
    stored = read_stored(path)
    if stored.is_lossy:
        return [1], black_and_white(stored.values, path=path)[None]
    numbers = packed(stored.values) if stored.is_coloured else _whole(stored)
    if stored.alpha is not None:
        numbers = np.where(stored.alpha > 0, numbers, 0)
    values = np.unique(numbers)
    what = "colours" if stored.is_coloured else "values"
    most = min(MOST_REGIONS, max(numbers.size // 16, 16))
    if len(values) > most or (stored.mode in ("L", "LA") and _has_soft_edges(numbers, values)):
        raise DataError(
            f"{stored.path} has {len(values)} {what}, as photographs and soft edges have; save it "
            "without antialiasing, one value per mask"
        )
    found = values[values > 0]
    return found.tolist(), numbers[None] == found[:, None, None]


def read_numbers(path: Path | str) -> np.ndarray:
    """Returns the raw numbers of a label map, (H, W) int32.

    Raises:
        DataError: it has colours, or is a JPEG, which changes class numbers.
    """
    stored = read_stored(path, what="label map")
    if stored.is_lossy:
        raise DataError(
            f"label map {path} is a JPEG, whose compression changes class numbers; save label maps "
            "as .png"
        )
    if stored.is_coloured:
        raise DataError(
            f"label map {path} is not an index map (mode {stored.mode}); expected one class "
            "index per pixel, an 8-bit palette or grey PNG or a 16-bit PNG or TIFF"
        )
    return _whole(stored)


def read_nearest(path: Path | str, declared: Sequence[int]) -> np.ndarray:
    """Returns raw numbers of a label map, (H, W) int32; those of a JPEG as the nearest declared.

    Raises:
        DataError: it has colours, or is a JPEG with other values or with declared ones too close.
    """
    stored = read_stored(path, what="label map")
    if not stored.is_lossy:
        return read_numbers(path)
    if stored.is_coloured:
        raise DataError(f"label map {path} is a JPEG in colours; save label maps as grey .png")
    return nearest_declared(stored.values, declared, path=path)


def packed(colors: np.ndarray) -> np.ndarray:
    """Returns R + 256 G + 65536 B, (H, W) int32, of (H, W, 3) uint8 colours.

    Example:
        >>> packed(np.array([[[3, 1, 0]]], np.uint8)).tolist()
        [[259]]
    """
    r, g, b = (colors[..., i].astype(np.int32) for i in range(3))
    return r + 256 * g + 65536 * b


def _channels(image: Image.Image, path: Path) -> np.ndarray:
    """Returns the numbers as Pillow holds them: (H, W), or (H, W, C) uint8."""
    if image.mode in (*_GREY_MODES, "P", "F", "LA", "RGB", "RGBA", "PA"):
        values = np.asarray(image)
        return values.astype(np.uint8) if image.mode == "1" else values
    if image.mode in ("RGBX", "CMYK", "YCbCr"):
        return np.asarray(image.convert("RGB"))
    raise DataError(f"{path} has the colours {image.mode}, in which no masks are kept; save a PNG")


def _palette(image: Image.Image) -> np.ndarray | None:
    if image.mode not in ("P", "PA") or image.palette is None:
        return None
    colors = image.getpalette("RGB") or []
    return np.array(colors, np.uint8).reshape(-1, 3)


def _whole(stored: Stored) -> np.ndarray:
    """Returns numbers as (H, W) int32."""
    _check_numbers(stored)
    if stored.values.dtype.kind == "f":
        return stored.values.round().astype(np.int32)
    return stored.values.astype(np.int32)


def _check_numbers(stored: Stored) -> None:
    """Raises where numbers are below 0, no numbers, or shades between."""
    values = stored.values
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise DataError(f"{stored.path} has NaN or infinity in it; save a mask of 0 and 1")
        if (values != values.round()).any():
            raise DataError(
                f"{stored.path} has values from {values.min():g} to {values.max():g}; threshold "
                "them first, for example mask > 0.5 for probabilities"
            )
    if values.size and values.min() < 0:
        raise DataError(f"{stored.path} has the value {values.min():g}; masks are 0 or more")


def _check_deep(values: np.ndarray, path: Path) -> None:
    """Raises for colours of 16 bits, of which Pillow drops the lower half, unless it holds none."""
    if not np.isin(values, (0, 255)).all():
        raise DataError(
            f"{path} has colours of 16 bits; save it with 8 bits, or as one grey channel"
        )


def _check_palette(stored: Stored) -> None:
    """Raises where index and colour say the opposite: index 0 bright, all others black."""
    assert stored.palette is not None
    used = np.unique(stored.values)
    colors = stored.palette[used[used < len(stored.palette)]]
    if len(used) > 1 and used[0] == 0 and colors[0].any() and not colors[1:].any():
        raise DataError(
            f"{stored.path} has a palette in which index 0, outside, is bright and the others are "
            "black; save it as a grey PNG with 0 outside"
        )


def _is_painted(stored: Stored, opaque: np.ndarray) -> bool:
    """Whether the opaque pixels are a mask by themselves: black and one other value."""
    shown = packed(stored.values) if stored.is_coloured else stored.values
    seen = np.unique(shown[opaque])
    return len(seen) == 2 and seen[0] == 0


def _has_soft_edges(numbers: np.ndarray, values: np.ndarray) -> bool:
    """Whether all that is between 0 and 255 is thin, as between black and white."""
    if len(values) <= SOFT_VALUES or values[0] != 0 or values[-1] != 255:
        return False
    inner = numbers[1:-1, 1:-1]
    beside = (numbers[:-2, 1:-1], numbers[2:, 1:-1], numbers[1:-1, :-2], numbers[1:-1, 2:])
    is_flat = np.logical_and.reduce([inner == other for other in beside])
    between = (inner > 0) & (inner < 255)
    return bool(between.any()) and is_flat[between].mean() < 0.05
