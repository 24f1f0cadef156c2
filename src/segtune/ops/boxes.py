"""Boxes: overlap, suppression of near copies, and pooling of features; plain torch, no state.

The same definitions as torchvision's operators of the same names, without needing them. Boxes are
xyxy in any one frame; right and bottom are exclusive, so that the width is x2 - x1.

Shape letters: N, M boxes or masks, B images, C channels, h w feature grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from segtune.errors import SegtuneError


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Returns the (N, M) overlaps, 0..1, of boxes (N, 4) and (M, 4); an empty box overlaps nothing.

    Example:
        >>> import torch
        >>> box_iou(torch.tensor([[0.0, 0, 2, 2]]), torch.tensor([[1.0, 0, 3, 2], [2, 2, 2, 2]]))
        tensor([[0.3333, 0.0000]])
    """
    left_top = torch.maximum(a[:, None, :2], b[:, :2])
    right_bottom = torch.minimum(a[:, None, 2:], b[:, 2:])
    shared = (right_bottom - left_top).clamp(min=0).prod(-1)  # (N, M)
    return _ratio(shared, _area(a)[:, None] + _area(b) - shared)


def mask_iou(a: Tensor, b: Tensor) -> Tensor:
    """Returns the (N, M) overlaps, 0..1, of masks (N, h, w) and (M, h, w), bool."""
    first, second = a.flatten(1).float(), b.flatten(1).float()
    shared = first @ second.T
    return _ratio(shared, first.sum(1)[:, None] + second.sum(1) - shared)


def boxes_from_masks(masks: Tensor) -> Tensor:
    """Returns (N, 4) int64 xyxy, right and bottom exclusive, around masks (N, H, W) bool.

    All zeros for a mask without a pixel.

    Example:
        >>> boxes_from_masks(torch.tensor([[[False, False, False], [False, True, True]]])).tolist()
        [[1, 1, 3, 2]]
    """
    sides = []
    for inside in (masks.any(1), masks.any(2)):  # columns, rows
        count = torch.arange(1, inside.shape[1] + 1, device=masks.device)
        last = (inside * count).amax(1)
        first = inside.shape[1] - (inside * count.flip(0)).amax(1)
        sides.append((first * inside.any(1), last))
    (x1, x2), (y1, y2) = sides
    return torch.stack([x1, y1, x2, y2], 1)


def nms(boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    """Returns the ids, best first, of the boxes that greedy non-maximum suppression keeps.

    Args:
        boxes: (N, 4).
        scores: (N,); of equal scores the first box wins.
        iou: a box goes where it overlaps a kept, better one by more than this.

    Returns:
        (M,) int64.

    Example:
        >>> import torch
        >>> boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 1.9], [4, 4, 5, 5]])
        >>> nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.7).tolist()
        [1, 2]
    """
    return suppress(box_iou(boxes, boxes), scores, iou)


def batched_nms(boxes: Tensor, scores: Tensor, group_ids: Tensor, iou: float) -> Tensor:
    """Returns what `nms` does, with suppression only among boxes of the same group.

    Args:
        group_ids: (N,) int, for example the class or the image of each box.
    """
    same = group_ids[:, None] == group_ids
    return suppress(box_iou(boxes, boxes) * same, scores, iou)


def mask_nms(masks: Tensor, scores: Tensor, iou: float) -> Tensor:
    """Returns what `nms` does, for masks (N, h, w) bool and their overlap."""
    return suppress(mask_iou(masks, masks), scores, iou)


def suppress(overlaps: Tensor, scores: Tensor, limit: float) -> Tensor:
    """Returns the ids, best first, that greedy suppression keeps, given all (N, N) overlaps.

    Greedy says: i is kept unless a better, kept j overlaps it by more than `limit`. That rule is
    applied to all at once until nothing changes; the answer for the best t is final after t
    rounds, so the result is that of the loop, in far fewer rounds.
    """
    order = scores.argsort(descending=True, stable=True)
    covers = (overlaps[order][:, order] > limit).triu(1)  # (N, N): row is better than column
    keep = torch.ones_like(order, dtype=torch.bool)
    while True:
        again = ~(covers & keep[:, None]).any(0)
        if torch.equal(again, keep):
            return order[keep]
        keep = again


def roi_align(
    features: Tensor,
    boxes: Sequence[Tensor],
    output_size: int | tuple[int, int],
    *,
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """Returns the features of every box, averaged over bilinear samples in each output cell.

    He et al., Mask R-CNN, ICCV 2017. The mean over a cell's samples is separable, so each box is
    two small weight matrices, one per axis. Gradients reach the features and the boxes.

    Args:
        features: (B, C, h, w).
        boxes: per image, (N_b, 4).
        output_size: cells per box, (height, width) or one number for both.
        spatial_scale: factor from the frame of the boxes to that of the features.
        sampling_ratio: samples per cell and axis; below 1, one per feature cell, rounded up.
        aligned: shift by half a cell, so that cell centres are at integers; without it, boxes are
            also taken to be at least one cell wide and high.

    Returns:
        (N, C, output height, output width), boxes of the first image first.

    Raises:
        SegtuneError: `boxes` does not have one entry per image.
    """
    if len(boxes) != len(features):
        raise SegtuneError(
            f"got boxes for {len(boxes)} images but features of {len(features)}; pass one (N, 4) "
            "tensor per image, empty where there is none"
        )
    rows, columns = (output_size, output_size) if isinstance(output_size, int) else output_size
    height, width = features.shape[-2:]
    pooled = []
    for image, image_boxes in zip(features, boxes, strict=True):
        corners = image_boxes.to(features.dtype) * spatial_scale - (0.5 if aligned else 0.0)
        start, extent = corners[:, :2], corners[:, 2:] - corners[:, :2]
        if not aligned:
            extent = extent.clamp(min=1)
        along_x = cell_weights(start[:, 0], extent[:, 0], columns, width, sampling_ratio)
        along_y = cell_weights(start[:, 1], extent[:, 1], rows, height, sampling_ratio)
        lines = torch.einsum("nph,chw->ncpw", along_y, image)
        pooled.append(torch.einsum("ncpw,nqw->ncpq", lines, along_x))
    return torch.cat(pooled) if pooled else features.new_zeros(0, features.shape[1], rows, columns)


def cell_weights(start: Tensor, extent: Tensor, cells: int, size: int, ratio: int) -> Tensor:
    """Returns (N, cells, size): the weight of every grid position in the mean of every cell.

    One axis of `roi_align`: two of these and a matrix product make its cells.

    Args:
        start, extent: (N,), where boxes begin, in grid positions whose centres are whole numbers,
            and how long they are.
        ratio: samples per cell; below 1, one per grid position, rounded up.
    """
    if not len(start):
        return start.new_zeros(0, cells, size)
    step = extent / cells  # (N,)
    count = torch.full_like(step, ratio) if ratio > 0 else step.detach().ceil().clamp(min=0)
    most = max(int(count.max()), 1)
    sample = torch.arange(most, device=start.device, dtype=start.dtype)
    within = (sample + 0.5) / count.clamp(min=1)[:, None]  # (N, samples), in cells
    cell = torch.arange(cells, device=start.device, dtype=start.dtype)[:, None]
    at = start[:, None, None] + step[:, None, None] * (
        cell + within[:, None]
    )  # (N, cells, samples)
    # More than one cell outside counts as zero; up to that, the border is repeated.
    counted = (at >= -1) & (at <= size) & (sample < count[:, None])[:, None]
    near = at.clamp(0, size - 1)[..., None] - torch.arange(size, device=at.device, dtype=at.dtype)
    weights = (1 - near.abs()).clamp(min=0) * counted[..., None]  # (N, cells, samples, size)
    return weights.sum(2) / count.clamp(min=1)[:, None, None]


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(-1)


def _ratio(shared: Tensor, union: Tensor) -> Tensor:
    return torch.where(union > 0, shared / union.clamp(min=torch.finfo(union.dtype).tiny), 0.0)
