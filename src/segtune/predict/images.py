"""The images of a user, in whatever form they come: paths, PIL images, arrays, samples, or many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from segtune.errors import SegtuneError
from segtune.storage.images import as_rgb
from segtune.types import Dataset, Sample

ImageLike = Path | str | np.ndarray | Image.Image | Sample
"""One image: a path, an array as `pixels_of_array` takes it, a PIL image, or a sample."""


def as_sample(image: ImageLike) -> Sample:
    """Returns an image as a sample, whose pixels are (H, W, 3) uint8 RGB.

    PIL images are read as files are: upright, transparent pixels white.

    Raises:
        SegtuneError: it is none, or an array of another shape or type.

    Example:
        >>> as_sample(Image.new("L", (4, 2), 7)).pixels().shape
        (2, 4, 3)
    """
    if isinstance(image, str | Path):
        return Sample("image", Path(image))
    if isinstance(image, np.ndarray):
        return Sample("image", pixels_of_array(image))
    if isinstance(image, Image.Image):
        return Sample("image", as_rgb(image, what="the PIL image"))
    if isinstance(image, Sample):
        if isinstance(image.image, np.ndarray):
            return replace(image, image=pixels_of_array(image.image))
        return image
    raise SegtuneError(
        f"an image cannot be of type {type(image).__name__}; give a path, a PIL image, a uint8 "
        "array (H, W), (H, W, 3) or (H, W, 4), or a Sample"
    )


def pixels_of_array(array: np.ndarray) -> np.ndarray:
    """Returns (H, W, 3) uint8 RGB of a grey, RGB or RGBA array; RGB is returned as it is.

    Args:
        array: uint8, (H, W) or (H, W, 1) grey, (H, W, 3) RGB, or (H, W, 4) RGBA, whose transparent
            pixels become white.

    Raises:
        SegtuneError: another shape or type.
    """
    given = f"the image is an array of {array.dtype}, {array.shape}"
    if array.dtype != np.uint8:
        raise SegtuneError(f"{given}; expected uint8 0..255: {_to_uint8(array.dtype)}")
    if array.ndim == 4:
        raise SegtuneError(f"{given}; for many images give list(images), each (H, W, 3)")
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        raise SegtuneError(f"{given}; channels come last: type image.transpose(1, 2, 0)")
    channels = 1 if array.ndim == 2 else array.shape[-1]
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or not array.size:
        raise SegtuneError(f"{given}; expected (H, W), (H, W, 3) RGB or (H, W, 4) RGBA")
    if channels == 3:
        return array
    if channels == 4:
        return as_rgb(Image.fromarray(array, "RGBA"), what="the image")
    return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)


def _to_uint8(dtype: np.dtype) -> str:
    """Returns what to type to get there from another type."""
    if dtype == np.bool_:
        return 'type image.astype("uint8") * 255'
    if dtype == np.uint16:
        return 'type (image >> 8).astype("uint8")'
    if np.issubdtype(dtype, np.floating):
        return 'type (image * 255).round().astype("uint8") for values 0..1'
    return 'type image.astype("uint8")'


def each_of(
    images: ImageLike | Iterable[ImageLike] | Dataset,
) -> tuple[Iterator[ImageLike], bool]:
    """Returns the images one by one, so that no two need be in memory, and whether they are many.

    Example:
        >>> [(len(list(images)), many) for images, many in map(each_of, ["a.jpg", ["a.jpg"]])]
        [(1, False), (1, True)]
    """
    if isinstance(images, str | Path | np.ndarray | Image.Image | Sample):
        return iter((images,)), False
    if isinstance(images, Iterable):
        return iter(images), True
    if isinstance(images, Dataset):
        return (images[index] for index in range(len(images))), True
    return iter((images,)), False  # refused where it is read
