"""Images read one ahead of the one that is worked on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from segtune.cli.images import ImageFile
from segtune.errors import DataError
from segtune.storage.images import image_size, read_image

AHEAD_PX = 4_000_000
"""Images of more pixels are read when they are asked for, so that no two are in memory."""


def read_ahead(
    images: Iterable[ImageFile],
) -> Iterator[tuple[ImageFile, Callable[[], np.ndarray]]]:
    """Yields every image with a function that returns its pixels or raises what is wrong with it.

    While one image is worked on, the next one is read in a thread. What the function returns is
    (H, W, 3) uint8 RGB; it is to be called once, before the next image is asked for.
    """
    with ThreadPoolExecutor(1, "segtune-read") as pool:
        rest = iter(images)
        current = next(rest, None)
        reading = None
        while current is not None:
            ahead, coming = reading, next(rest, None)
            reading = None if coming is None else pool.submit(_read_small, coming)
            yield current, _reader(current, None if ahead is None else ahead.result)
            current = coming


def _reader(
    image: ImageFile, ahead: Callable[[], np.ndarray | None] | None
) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        pixels = None if ahead is None else ahead()
        return read_image(image.path) if pixels is None else pixels

    return read


def _read_small(image: ImageFile) -> np.ndarray | None:
    """Returns the pixels of an image; None where it is large or cannot be read."""
    try:
        height, width = image_size(image.path)
        return read_image(image.path) if height * width <= AHEAD_PX else None
    except (DataError, OSError, MemoryError):
        return None
