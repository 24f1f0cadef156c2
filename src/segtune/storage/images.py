"""Pictures on disk: any common kind comes in as upright 8-bit RGB; a bad file is one line.

Index maps of classes, whose values must not change, are in `segtune.data.images`.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from segtune.errors import DataError, ImageError
from segtune.storage.files import atomic_write
from segtune.storage.image_kinds import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from segtune.storage.image_kinds import load_plugin, why_not

logger = logging.getLogger(__name__)

SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")
"""Modes of pictures with one channel of 16 bits."""
DEPTHS = (8, 10, 12, 14, 16)
"""Bits that sensors give, in files of 16."""
DARK = 64
"""Largest value below which colours that were cut to 8 bits look black."""

_ORIENTATION = 0x0112
_WIDTH, _HEIGHT, _MAX_SAMPLE = 256, 257, 281  # of TIFF


@dataclass(frozen=True)
class Header:
    """What the header of an image file says.

    Attributes:
        stored: (H, W) of the pixels in the file.
        orientation: EXIF 1 to 8: how they are turned to be upright.
    """

    stored: tuple[int, int]
    orientation: int = 1

    @property
    def is_sideways(self) -> bool:
        """Whether the upright image has the sides of the stored one exchanged."""
        return self.orientation >= 5

    @property
    def upright(self) -> tuple[int, int]:
        """(H, W) of the upright image."""
        height, width = self.stored
        return (width, height) if self.is_sideways else (height, width)


def read_image(path: Path | str) -> np.ndarray:
    """Returns the picture as (H, W, 3) uint8 RGB, upright by its EXIF orientation.

    Grey becomes three equal channels, of 16 bits the upper 8 of those that are used; palettes and
    CMYK are converted; transparent pixels show white, as on a page; of an animation or of several
    pages, the first is read. What is not as one would expect is told in the log.

    Raises:
        FileNotFoundError: there is no such file.
        ImageError: the file is no picture, or is cut off.
    """
    with opened(path, what="image") as image:
        if getattr(image, "is_animated", False) and image.format != "MPO":
            _tell(f"{path} has several frames or pages; the first one is read")
        return as_rgb(image, what=f"image {path}")


def as_rgb(image: Image.Image, *, what: str) -> np.ndarray:
    """Returns an open picture as `read_image` does; messages call it `what`."""
    stated = getattr(image, "tag_v2", {}).get(_MAX_SAMPLE)
    is_deep = _has_deep_colors(image)
    image = ImageOps.exif_transpose(image)
    if image.mode in SIXTEEN_BIT_MODES:
        grey = _upper_bits(np.asarray(image), stated, what=what)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ImageError(f"{what} holds floating-point values; save it as 8-bit RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        page = Image.new("RGBA", layer.size, "white")
        image = Image.alpha_composite(page, layer)
    pixels = np.array(image.convert("RGB"))
    if is_deep and 0 < pixels.max() < DARK:
        _tell_of(what, "colours of 16 bits, of which few are used, look black")
    return pixels


def _has_deep_colors(image: Image.Image) -> bool:
    """Whether a file has colours of 16 bits, of which Pillow reads the upper 8."""
    tiles = getattr(image, "tile", None)
    raw = tiles[0][3] if tiles else None
    raw = raw[0] if isinstance(raw, tuple) and raw else raw
    return isinstance(raw, str) and ";16" in raw and image.mode not in SIXTEEN_BIT_MODES


def _upper_bits(values: np.ndarray, stated: object, *, what: str) -> np.ndarray:
    """Returns the upper 8 bits, (H, W) uint8, of those that a 16-bit picture uses.

    Args:
        values: (H, W) integers.
        stated: the largest value by a tag of the file; else that of the picture decides.
        what: names the picture in messages.
    """
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(f"{what} has values beyond 16 bits; save it as 8-bit RGB")
    stated = stated[0] if isinstance(stated, tuple) and stated else stated
    is_stated = isinstance(stated, int) and stated >= values.max()
    largest = int(stated) if isinstance(stated, int) and is_stated else int(values.max())
    bits = next(depth for depth in DEPTHS if largest < 1 << depth)
    if bits < 16 and largest:
        reason = "by a tag of the file" if is_stated else "the largest of which decides"
        _tell_of(what, f"values of {bits} bits in files of 16, {reason}, are read as such")
    return (values.astype(np.int32) >> (bits - 8)).astype(np.uint8)


def _tell_of(what: str, text: str) -> None:
    """Says something about a picture in the log, once for all pictures in its folder."""
    if what.startswith("image "):
        what = f"pictures in {Path(what.removeprefix('image ')).parent}"
    _tell(f"{what}: {text}")


@lru_cache(maxsize=4096)
def _tell(text: str) -> None:
    """Says something in the log, once."""
    logger.info(text)


def image_size(path: Path | str) -> tuple[int, int]:
    """Returns (H, W) of the upright picture from the header of the file alone."""
    return read_header(path).upright


def read_header(path: Path | str) -> Header:
    """Returns the stored size of a picture and how it is turned, without reading pixels."""
    with opened(path, what="image") as image:
        width, height = image.size
        orientation = image.getexif().get(_ORIENTATION, 1)
        tags = getattr(image, "tag_v2", None)
        if tags is not None:  # Pillow turns TIFF by itself, and tells the turned size
            width, height = tags.get(_WIDTH, width), tags.get(_HEIGHT, height)
        is_known = isinstance(orientation, int) and 1 <= orientation <= 8
        return Header((height, width), orientation if is_known else 1)


def write_image(path: Path | str, pixels: np.ndarray) -> None:
    """Writes (H, W, 3) uint8 RGB in the format of the ending, such as .png."""
    with atomic_write(path) as temporary:
        Image.fromarray(pixels).save(temporary)


def png_bytes(image: Image.Image) -> bytes:
    """Returns what a PNG file of the picture holds."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file that was encoded before, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def opened(path: Path | str, *, what: str) -> Iterator[Image.Image]:
    """Yields the open picture; problems with the file become one line that names it."""
    path = Path(path)
    kind = ImageError if what == "image" else DataError
    if not path.is_file():
        raise FileNotFoundError(f"{what} {path} does not exist; check the path")
    load_plugin(path.suffix)
    try:
        # Through a stream: Pillow maps files that it opens itself, and so scrambles turned TIFF.
        with path.open("rb") as stream, Image.open(stream) as image:
            yield image
    except (DataError, FileNotFoundError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise kind(f"{what} {path} {why_not(path)}") from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise kind(f"{what} {path} has more than {limit} megapixels; cut it up") from None
    except Exception as error:  # a damaged file raises whatever its bytes lead to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise kind(f"{what} {path} cannot be read: {reason}; copy the file again") from None
