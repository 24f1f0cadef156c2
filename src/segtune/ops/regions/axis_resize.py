"""Resizing regions of an image along one axis, as matrices or as the few pixels that count.

Without antialiasing, as `torch.nn.functional.interpolate` does it (align_corners False), but for
many regions of one image at once, each with its own borders.

Shape letters: R regions, S pixels of each afterwards.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from segtune.ops.boxes import cell_weights

Resize = Literal["bicubic", "bilinear", "roi_align"]


def axis_matrix(start: Tensor, end: Tensor, size: int, length: int, kind: Resize) -> Tensor:
    """Returns (R, S, L): the weights of pixels in each pixel of a region, along one axis.

    Args:
        start, end: (R,) int64, the pixels [start, end) of each region; end after start.
        size: S.
        length: L, pixels of what is read.
        kind: "bicubic" and "bilinear" read no pixel beside the region; its border is repeated.

    Example:
        >>> import torch
        >>> axis_matrix(torch.tensor([1]), torch.tensor([5]), 2, 6, "bilinear")[0].tolist()
        [[0.0, 0.5, 0.5, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5, 0.5, 0.0]]
    """
    if kind == "roi_align":
        corner, side = start.float() - 0.5, (end - start).float()
        return cell_weights(corner, side, size, length, -1)
    places, weights = axis_taps(start, end, size, kind)
    return weights.new_zeros(*places.shape[:2], length).scatter_add_(2, places, weights)


def axis_taps(start: Tensor, end: Tensor, size: int, kind: Resize) -> tuple[Tensor, Tensor]:
    """Returns the pixels (R, S, taps) that regions read, int64, and their weights, float32.

    What `axis_matrix` holds, without the zeros; for "bicubic" and "bilinear" only.
    """
    at = torch.arange(size, device=start.device, dtype=torch.float32) + 0.5
    at = at * ((end - start).float() / size)[:, None] - 0.5  # (R, S), from the start
    left = at.floor()
    weights, offsets = _bicubic(at - left) if kind == "bicubic" else _linear(at - left)
    places = left.long()[..., None] + offsets
    last = (end - start - 1)[:, None, None]
    return places.clamp(min=0).minimum(last) + start[:, None, None], weights


def _linear(t: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the weights (..., 2) of two neighbours, and their offsets, at `t` behind the left."""
    return torch.stack([1 - t, t], -1), torch.arange(2, device=t.device)


def _bicubic(t: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the weights (..., 4) of four neighbours, and their offsets (Keys 1981, a = -0.75)."""
    a = -0.75

    def near(x: Tensor) -> Tensor:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Tensor) -> Tensor:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    weights = torch.stack([far(t + 1), near(t), near(1 - t), far(2 - t)], -1)
    return weights, torch.arange(-1, 3, device=t.device)
