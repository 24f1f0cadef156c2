"""Label maps on disk: class ids in and out as they are.

Label maps hold class numbers, not colours, so anything that would change their values (a colour
picture, a lossy file type) is refused. What a raw value means is decided in `data/labels.py`;
pictures are read by `segtune.storage.images`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from segtune.data.masks.files import read_numbers
from segtune.errors import DataError
from segtune.storage.files import atomic_write
from segtune.storage.images import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from segtune.storage.images import image_size as image_size
from segtune.storage.images import read_image as read_image
from segtune.types import IGNORE

LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
IGNORE_8_BIT, IGNORE_16_BIT = 255, 65535


def read_label_map(path: Path | str) -> np.ndarray:
    """Returns the raw values of an index map as (H, W) int32: 8-bit palette or grey, or 16-bit.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is cut off, a JPEG, or has colours instead of indices.
    """
    return read_numbers(path)


def write_label_map(
    path: Path | str,
    labels: np.ndarray,
    *,
    num_classes: int | None = None,
    colors: Sequence[tuple[int, int, int]] | None = None,
) -> None:
    """Writes class ids as an index map, 8-bit for up to 255 classes and 16-bit beyond.

    Args:
        path: a .png, .tif or .tiff file; an existing one is replaced only when all is written.
        labels: (H, W) integers, class ids or `IGNORE`, which is stored as 255 or 65535.
        num_classes: size of the vocabulary, which fixes the bit depth of all files of a data set;
            by default the largest id in `labels` decides.
        colors: (r, g, b) per class, stored as the palette of 8-bit files so that viewers show it.

    Raises:
        DataError: the file cannot be written, or its type would change the values.
    """
    path = Path(path)
    if path.suffix.lower() not in (".png", ".tif", ".tiff"):
        raise DataError(f"label maps keep their values only in .png or .tif files; rename {path}")
    image = label_picture(path, labels, num_classes=num_classes, colors=colors)
    with atomic_write(path) as temporary:
        image.save(temporary)


def label_picture(
    path: Path,
    labels: np.ndarray,
    *,
    num_classes: int | None = None,
    colors: Sequence[tuple[int, int, int]] | None = None,
) -> Image.Image:
    """Returns the picture that `write_label_map` writes to a path; nothing is written."""
    largest = int(labels.max(initial=IGNORE))
    num_classes = largest + 1 if num_classes is None else num_classes
    if labels.min(initial=IGNORE) < IGNORE or largest >= min(max(num_classes, 1), IGNORE_16_BIT):
        raise DataError(
            f"cannot write {path}: values run from {labels.min()} to {largest}, but class ids of "
            f"{num_classes} classes run from 0 to {num_classes - 1}"
        )
    if num_classes <= IGNORE_8_BIT:
        image = Image.fromarray(np.where(labels == IGNORE, IGNORE_8_BIT, labels).astype(np.uint8))
        if colors is not None:
            palette = np.zeros((256, 3), np.uint8)
            palette[: len(colors)] = colors
            image.putpalette(palette.tobytes())
    else:
        values = np.where(labels == IGNORE, IGNORE_16_BIT, labels).astype(np.uint16)
        image = Image.fromarray(values)
    return image
