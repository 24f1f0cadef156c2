"""Resizing of images and score maps, and the way back to the original image."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segtune.types import Geometry


def resized(image: np.ndarray, short_side: int) -> Tensor:
    """Returns (3, h, w) float32, 0..255, of an (H, W, 3) uint8 image; antialiased.

    Args:
        short_side: length of the shorter side of the result, in pixels.
    """
    height, width = image.shape[:2]
    scale = short_side / min(height, width)
    size = (max(round(height * scale), 1), max(round(width * scale), 1))
    tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    if size == (height, width):
        return tensor[0]
    return F.interpolate(tensor, size, mode="bilinear", align_corners=False, antialias=True)[0]


def bilinear(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns (N, h, w) planes at `size` (align_corners=False); as they are where nothing changes.

    Example:
        >>> import torch
        >>> bilinear(torch.tensor([[[0.0, 1.0]]]), (1, 4)).tolist()
        [[[0.0, 0.25, 0.75, 1.0]]]
    """
    if tuple(planes.shape[-2:]) == tuple(size):
        return planes
    # Planes go in as a batch: as channels, their number would change the rounding.
    return F.interpolate(planes[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def bicubic(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns (N, h, w) planes at `size`, bicubic with antialiasing; as they are where unchanged.

    Example:
        >>> import torch
        >>> bicubic(torch.tensor([[[0.0, 0.0, 1.0, 1.0]]]), (1, 2)).shape
        torch.Size([1, 1, 2])
    """
    if tuple(planes.shape[-2:]) == tuple(size):
        return planes
    return F.interpolate(
        planes[:, None], size=size, mode="bicubic", align_corners=False, antialias=True
    )[:, 0]


def to_original(
    logits: Tensor,
    geometry: Geometry,
    *,
    last_step: Literal["bilinear", "bicubic"] = "bilinear",
) -> Tensor:
    """Returns logits over the model input as logits over the original image.

    Bilinear to the model input, padding cut off, then to the original size: the two steps of the
    published pipelines. A step that changes nothing is skipped.

    Args:
        logits: (N, h, w), unbounded, padding included.
        last_step: how the second step resizes; "bicubic" (SEEM, X-Decoder) is antialiased.

    Returns:
        (N, H, W) float32 on the original image.
    """
    resized_h, resized_w = geometry.resized_size
    planes = bilinear(logits.float(), geometry.input_size)[:, :resized_h, :resized_w]
    resize = bicubic if last_step == "bicubic" else bilinear
    return resize(planes, geometry.original_size)
