"""Multi-scale deformable attention: weighted means of a pyramid at points that a query chooses.

Zhu et al., "Deformable DETR", ICLR 2021, section 4.1, equation 3, in plain PyTorch. Two forms of
the same function: bilinear samples of every level ("plain"), and one gather-sum over the four
neighbours of every point ("bags"), which never holds a sample and is the faster one on CPUs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from segtune.errors import SegtuneError

Form = Literal["bags", "plain"]


def ms_deform_attn(
    value: Tensor,
    sizes: Sequence[tuple[int, int]],
    locations_norm: Tensor,
    weights: Tensor,
    *,
    form: Form = "bags",
) -> Tensor:
    """Returns the weighted sums of bilinear samples, (B, Q, heads * d) in the dtype of `value`.

    Values outside of a level are zero. Gradients reach values, locations and weights.

    Args:
        value: (B, S, heads, d), the positions of all levels one after the other, row by row.
        sizes: (h, w) of every level; S is the sum of their products.
        locations_norm: (B, Q, heads, L, P, 2), (x, y) of P points per level, 0..1 of the level
            from outer edge to outer edge; may lie outside. Keep them in float32: at a width of 128
            a half-precision coordinate is off by up to 1/16 of a position.
        weights: (B, Q, heads, L, P).
        form: "bags" or "plain"; equal up to rounding.

    Example:
        >>> value = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)  # one level of 1 x 2
        >>> points = torch.tensor([[0.25, 0.5], [0.5, 0.5]]).view(1, 1, 1, 1, 2, 2)
        >>> ms_deform_attn(value, [(1, 2)], points, torch.tensor([1.0, 10.0]).view(1, 1, 1, 1, 2))
        tensor([[[21.]]])
    """
    num_positions = sum(height * width for height, width in sizes)
    if value.shape[1] != num_positions or locations_norm.shape[3] != len(sizes):
        raise SegtuneError(
            f"{value.shape[1]} values and points on {locations_norm.shape[3]} levels do not fit "
            f"levels of {', '.join(f'{h}x{w}' for h, w in sizes)}; expected {num_positions} "
            f"values and {len(sizes)} levels"
        )
    if form == "plain":
        return _by_samples(value, sizes, locations_norm, weights)
    return _by_bags(value, sizes, locations_norm, weights)


def _by_samples(
    value: Tensor, sizes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """The obvious form: `grid_sample` of every level, added up."""
    num_images, _, heads, width = value.shape
    num_queries = locations.shape[1]
    levels = value.split([h * w for h, w in sizes], 1)
    total = value.new_zeros(num_images * heads, width, num_queries)
    for level, (part, size) in enumerate(zip(levels, sizes, strict=True)):
        maps = part.permute(0, 2, 3, 1).reshape(-1, width, *size)  # (B heads, d, h, w)
        grid = 2 * locations[:, :, :, level].transpose(1, 2).flatten(0, 1) - 1  # (B heads, Q, P, 2)
        share = weights[:, :, :, level].transpose(1, 2).flatten(0, 1)[:, None]  # (B heads, 1, Q, P)
        sampled = F.grid_sample(maps, grid.to(maps.dtype), align_corners=False)
        total = total + (sampled * share.to(maps.dtype)).sum(-1)
    return total.view(num_images, heads * width, num_queries).mT.contiguous()


def _by_bags(
    value: Tensor, sizes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """One `embedding_bag`: a bag per query and head, four rows of the table per point.

    Every level gets a border of one zero, so that neighbours outside need no test. A point is
    moved to at most one position outside, where all that it reads is zero already.
    """
    num_images, _, heads, width = value.shape
    table = _padded_table(value, sizes)  # (B * S' * heads, d)
    rows, shares = _neighbours(sizes, locations, weights, len(table) // num_images)
    bags = F.embedding_bag(
        rows.flatten(3).flatten(0, 2),
        table,
        mode="sum",
        per_sample_weights=shares.to(value.dtype).flatten(3).flatten(0, 2),
    )
    return bags.view(num_images, -1, heads * width)


def _padded_table(value: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """Returns the values with zeros around every level, one row per image, position and head."""
    levels = value.flatten(2).split([h * w for h, w in sizes], 1)
    padded = [
        F.pad(part.unflatten(1, size), (0, 0, 1, 1, 1, 1)).flatten(1, 2)
        for part, size in zip(levels, sizes, strict=True)
    ]
    return torch.cat(padded, 1).reshape(-1, value.shape[-1])


def _neighbours(
    sizes: Sequence[tuple[int, int]], locations: Tensor, weights: Tensor, rows_per_image: int
) -> tuple[Tensor, Tensor]:
    """Returns table rows and weights of the neighbours of every point, (B, Q, heads, L, P, 4)."""
    num_images, heads, device = len(locations), locations.shape[2], locations.device
    extent = locations.new_tensor([(w, h) for h, w in sizes])[:, None]  # (L, 1, 2), of (x, y)
    at = locations * extent - 0.5  # in positions, 0 is the centre of the first
    at = at.clamp(min=-1).minimum(extent)
    # A diverged, not finite point reads somewhere inside, and its result is not finite either.
    corner = at.detach().floor().int().clamp(min=-1)
    corner = corner.minimum((extent - 1).int())
    x, y = (at - corner).unbind(-1)  # 0..1, from the upper left neighbour
    widths = torch.tensor([w + 2 for _, w in sizes], dtype=torch.int32, device=device)
    counts = torch.tensor([(h + 2) * (w + 2) for h, w in sizes], dtype=torch.int32, device=device)
    first = counts.cumsum(0, dtype=torch.int32) - counts
    column, row = (corner + 1).unbind(-1)
    upper = (first[:, None] + row * widths[:, None] + column) * heads
    upper += torch.arange(heads, dtype=torch.int32, device=device)[:, None, None]
    images = torch.arange(num_images, dtype=torch.int32, device=device) * rows_per_image
    upper += images.view(-1, 1, 1, 1, 1)
    lower = upper + widths[:, None] * heads
    rows = torch.stack([upper, upper + heads, lower, lower + heads], -1)
    top, bottom = weights * (1 - y), weights * y
    shares = torch.stack([top * (1 - x), top * x, bottom * (1 - x), bottom * x], -1)
    return rows, shares
