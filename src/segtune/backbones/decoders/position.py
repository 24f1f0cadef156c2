"""Encodings of positions in a map: sines of Mask2Former and SEEM, Fourier features of Uni-OVSeg.

Decoders take one of the two modules; both give (C, h, w) for a grid of any size, padding included.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TEMPERATURE = 10000.0
EPSILON = 1e-6


class SinePositions(nn.Module):
    """`sine_positions` of a given width; nothing in it is learned or stored.

    Args:
        width: C, even.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, like: Tensor, size: tuple[int, int]) -> Tensor:
        """Returns the encoding of a grid (h, w) on the device and in the precision of `like`."""
        return sine_positions(*size, self.width // 2, device=like.device, dtype=like.dtype)

    def at(self, points_norm: Tensor) -> Tensor:
        """Returns (..., C), -1..1, of points (..., 2): (x, y) in 0..1; y before x."""
        x, y = (2 * math.pi * points_norm).unbind(-1)
        half = self.width // 2
        return torch.cat([_waves(y, half), _waves(x, half)], -1)


class FourierPositions(nn.Module):
    """Random Fourier features (Tancik et al. 2020): sines and cosines of random frequencies.

    Attributes:
        frequencies: (2, C / 2), drawn once and stored with the weights: other ones ruin a model.

    Args:
        width: C, even.
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(2, width // 2))

    def forward(self, like: Tensor, size: tuple[int, int]) -> Tensor:
        """Returns the encoding of the centres of a grid (h, w), on the device of `like`."""
        return self.at(grid_centres(self.frequencies, size)).permute(2, 0, 1).to(like)

    def at(self, points_norm: Tensor) -> Tensor:
        """Returns (..., C), -1..1, of points (..., 2): (x, y) in 0..1 of the model input."""
        angles = 2 * math.pi * ((2 * points_norm - 1) @ self.frequencies)
        return torch.cat([angles.sin(), angles.cos()], -1)


def grid_centres(like: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns the centres of the positions of a grid, (h, w, 2): (x, y) in 0..1.

    Args:
        like: gives device and precision.

    Example:
        >>> grid_centres(torch.zeros(()), (1, 2)).tolist()
        [[[0.25, 0.5], [0.75, 0.5]]]
    """
    height, width = size
    y = (torch.arange(height, dtype=like.dtype, device=like.device) + 0.5) / height
    x = (torch.arange(width, dtype=like.dtype, device=like.device) + 0.5) / width
    return torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], -1)


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
    return _waves(steps / (length + EPSILON) * (2 * math.pi), num_features).T


def _waves(angles: Tensor, num_features: int) -> Tensor:
    """Returns (..., F): sines and cosines in turn, of angles divided by growing numbers."""
    features = torch.arange(num_features, device=angles.device)
    pairs = torch.div(features, 2, rounding_mode="floor")
    slower = angles[..., None] / TEMPERATURE ** (2 * pairs / num_features)
    return torch.where(features % 2 == 0, slower.sin(), slower.cos())
