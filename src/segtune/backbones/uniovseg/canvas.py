"""The square that Uni-OVSeg sees: an image at its upper left, grey elsewhere; and the way back.

The longer side is resized to the side of the canvas, right and bottom are padded with grey before
normalisation. The grid of points lies over the picture, not over the padding.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from segtune.types import Geometry

GREY = 128.0


def geometry_on(size: tuple[int, int], canvas: int) -> Geometry:
    """Returns how an image of `size` (H, W) lies on the canvas; sides are rounded half up."""
    scale = canvas / max(size)
    height, width = (max(int(side * scale + 0.5), 1) for side in size)
    return Geometry(size, (height, width), (canvas, canvas))


def paint(image: np.ndarray, canvas: int) -> tuple[Tensor, Geometry]:
    """Returns the canvas (3, S, S), float32 0..255, and how the image lies on it.

    Args:
        image: (H, W, 3) uint8 RGB.
        canvas: S.
    """
    geometry = geometry_on((image.shape[0], image.shape[1]), canvas)
    height, width = geometry.resized_size
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(resized)).permute(2, 0, 1).float()
    return F.pad(pixels, (0, canvas - width, 0, canvas - height), value=GREY), geometry


def picture_extent(size: tuple[int, int], canvas: int) -> tuple[float, float]:
    """Returns (x, y) of the last pixel of the picture on the canvas, as the official grid has it.

    Example:
        >>> picture_extent((48, 64), 64)
        (63.0, 47.0)
    """
    height, width = size
    scale = (canvas - 1) / max(height - 1, width - 1, 1)
    return (width - 1) * scale, (height - 1) * scale


def off_canvas(mask_logits: Tensor, geometry: Geometry) -> Tensor:
    """Returns masks over the canvas (N, h, w) as masks over the original image (N, H, W).

    Up to the size of the canvas, from there to the square of the longer side, and cut: the two
    bilinear steps of the official code. An input that is no square is resized as it is.
    """
    height, width = geometry.original_size
    is_square = geometry.input_size[0] == geometry.input_size[1]
    last = (max(height, width),) * 2 if is_square else (height, width)
    planes = mask_logits[:, None]  # as a batch: the number of masks must not change the rounding
    for size in (geometry.input_size, last):
        if tuple(planes.shape[-2:]) != tuple(size):
            planes = F.interpolate(planes, size, mode="bilinear", align_corners=False)
    return planes[:, 0, :height, :width]
