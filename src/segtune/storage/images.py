"""Pictures on disk: any common kind comes in as upright 8-bit RGB; a bad file is one line.

Index maps of classes, whose values must not change, are in `segtune.data.images`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from segtune.errors import DataError, ImageError
from segtune.storage.files import atomic_write

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".gif")
SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
"""Modes of pictures with one channel of 16 bits."""

_EXIF_ORIENTATION = 0x0112


def read_image(path: Path | str) -> np.ndarray:
    """Returns the picture as (H, W, 3) uint8 RGB, upright by its EXIF orientation.

    Grey becomes three equal channels; 16-bit grey keeps its upper 8 bits; palettes and CMYK are
    converted; transparent pixels show white, as on a page; an animation gives its first frame.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: the file is no picture, or is cut off.
    """
    with opened(path, what="image") as image:
        return as_rgb(image, what=f"image {path}")


def as_rgb(image: Image.Image, *, what: str) -> np.ndarray:
    """Returns an open picture as `read_image` does; messages call it `what`."""
    image = ImageOps.exif_transpose(image)
    if image.mode in SIXTEEN_BIT_MODES:
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(f"{what} has values beyond 16 bits; save it as 8-bit RGB")
        grey = (values.astype(np.int32) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ImageError(f"{what} holds floating-point values; save it as 8-bit RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        page = Image.new("RGBA", layer.size, "white")
        image = Image.alpha_composite(page, layer)
    return np.array(image.convert("RGB"))


def image_size(path: Path | str) -> tuple[int, int]:
    """Returns (H, W) of the upright picture from the header of the file alone."""
    with opened(path, what="image") as image:
        width, height = image.size
        sideways = image.getexif().get(_EXIF_ORIENTATION, 1) >= 5
        return (width, height) if sideways else (height, width)


def write_image(path: Path | str, pixels: np.ndarray) -> None:
    """Writes (H, W, 3) uint8 RGB in the format of the ending, such as .png."""
    with atomic_write(path) as temporary:
        Image.fromarray(pixels).save(temporary)


@contextmanager
def opened(path: Path | str, *, what: str) -> Iterator[Image.Image]:
    """Yields the open picture; problems with the file become one line that names it."""
    path = Path(path)
    kind = ImageError if what == "image" else DataError
    if not path.is_file():
        raise FileNotFoundError(f"{what} {path} does not exist; check the path")
    try:
        # Through a stream: Pillow maps files that it opens itself, and so scrambles turned TIFF.
        with path.open("rb") as stream, Image.open(stream) as image:
            yield image
    except (DataError, FileNotFoundError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise kind(f"{what} {path} is not a readable picture; check the file") from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise kind(f"{what} {path} has more than {limit} megapixels; cut it up") from None
    except (OSError, SyntaxError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise kind(f"{what} {path} cannot be read: {reason}; copy the file again") from None
