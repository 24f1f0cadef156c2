"""Sine encodings of positions in a map, as in Mask2Former and SEEM."""

from __future__ import annotations

import math

import torch
from torch import Tensor

TEMPERATURE = 10000.0
EPSILON = 1e-6


def sine_positions(
    height: int,
    width: int,
    num_features_per_axis: int,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Returns the sine encoding of every position of a grid: (2 * F, h, w), -1..1, y before x.

    Coordinates count from 1 and are divided by the size, so that the last row and column are at
    2 pi. The encoding is separable: only F * (h + w) sines are computed, so nothing is cached.

    Args:
        height, width: of the grid, in cells; padding counts like any other cell.
        num_features_per_axis: F, half of the channels; sine and cosine alternate.
        dtype: of the result; the computation is in float32.

    Example:
        >>> sine_positions(2, 3, 8).shape
        torch.Size([16, 2, 3])
    """
    y = _axis(height, num_features_per_axis, device)[:, :, None].expand(-1, -1, width)
    x = _axis(width, num_features_per_axis, device)[:, None, :].expand(-1, height, -1)
    return torch.cat([y, x]).to(dtype)


def _axis(length: int, num_features: int, device: torch.device | str | None) -> Tensor:
    """Returns the encoding of one axis, (F, length)."""
    steps = torch.arange(1, length + 1, dtype=torch.float32, device=device)
    angles = steps / (length + EPSILON) * (2 * math.pi)
    features = torch.arange(num_features, device=device)
    pairs = torch.div(features, 2, rounding_mode="floor")
    angles = angles / TEMPERATURE ** (2 * pairs / num_features)[:, None]  # (F, length)
    return torch.where((features % 2 == 0)[:, None], angles.sin(), angles.cos())
