"""Images and label maps on disk: pictures in as upright RGB, class maps in and out as they are.

Pictures of any common kind are accepted and come out as 8-bit RGB. Label maps hold class numbers,
not colours, so anything that would change their values (a colour picture, a lossy file type) is
refused. What a raw value means is decided in `data/labels.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from segtune.errors import DataError
from segtune.storage.files import atomic_write
from segtune.types import IGNORE

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".gif")
LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
IGNORE_8_BIT, IGNORE_16_BIT = 255, 65535

_EXIF_ORIENTATION = 0x0112
_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_STRETCH = {"L;2": 85, "L;4": 17}


def read_image(path: Path | str) -> np.ndarray:
    """Returns the picture as (H, W, 3) uint8 RGB, upright by its EXIF orientation.

    Grey becomes three equal channels; 16-bit grey keeps its upper 8 bits; palettes and CMYK are
    converted; transparent pixels show white, as on a page; an animation gives its first frame.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is no picture, or is cut off.
    """
    with _opened(path, what="image") as image:
        image = ImageOps.exif_transpose(image)
        if image.mode in _SIXTEEN_BIT_MODES:
            values = np.asarray(image)
            if values.min() < 0 or values.max() > 65535:
                raise DataError(f"image {path} has values beyond 16 bits; save it as 8-bit RGB")
            grey = (values.astype(np.int32) >> 8).astype(np.uint8)
            return np.repeat(grey[:, :, None], 3, axis=2)
        if image.mode == "F":
            raise DataError(f"image {path} holds floating-point values; save it as 8-bit RGB")
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            page = Image.new("RGBA", layer.size, "white")
            image = Image.alpha_composite(page, layer)
        return np.array(image.convert("RGB"))


def image_size(path: Path | str) -> tuple[int, int]:
    """Returns (H, W) of the upright picture from the header of the file alone."""
    with _opened(path, what="image") as image:
        width, height = image.size
        sideways = image.getexif().get(_EXIF_ORIENTATION, 1) >= 5
        return (width, height) if sideways else (height, width)


def write_image(path: Path | str, pixels: np.ndarray) -> None:
    """Writes (H, W, 3) uint8 RGB in the format of the ending, such as .png."""
    with atomic_write(path) as temporary:
        Image.fromarray(pixels).save(temporary)


def read_label_map(path: Path | str) -> np.ndarray:
    """Returns the raw values of an index map as (H, W) int32: 8-bit palette or grey, or 16-bit.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is cut off, or has colours instead of indices.
    """
    with _opened(path, what="label map") as image:
        if image.mode not in ("P", "L", "1", *_SIXTEEN_BIT_MODES):
            raise DataError(
                f"label map {path} is not an index map (mode {image.mode}); expected one class "
                "index per pixel, an 8-bit palette or grey PNG or a 16-bit PNG or TIFF"
            )
        # Grey PNGs of 2 or 4 bits per pixel are stretched to 0..255 on reading: undo that.
        stored = image.tile[0].args if isinstance(image, ImageFile.ImageFile) else None
        stretch = _STRETCH.get(stored, 1) if isinstance(stored, str) else 1
        return np.asarray(image).astype(np.int32) // stretch


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
    with atomic_write(path) as temporary:
        image.save(temporary)


@contextmanager
def _opened(path: Path | str, *, what: str) -> Iterator[Image.Image]:
    """Yields the open picture; problems with the file become one line that names it."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{what} {path} does not exist; check the path")
    try:
        with Image.open(path) as image:
            yield image
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{what} {path} is not a readable picture; check the file") from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise DataError(f"{what} {path} has more than {limit} megapixels; cut it up") from None
    except (OSError, SyntaxError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{what} {path} cannot be read: {reason}; copy the file again") from None
