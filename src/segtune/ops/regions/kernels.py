"""Cutting and resizing regions of one image, which is what a loop over regions spends its time on.

Two ways with equal results up to rounding: by both matrices of the resize (see `regions`), many
regions at once; and for processors one by one, without the zeros of the matrices.

Shape letters: R regions, S side of a region, H W image, h w box.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.ops.regions.axis_resize import axis_matrix, axis_taps
from segtune.ops.regions.recipes import RegionConfig

AT_ONCE = {"cpu": 1}
"""Device -> regions that `cut_together` takes at once; others take 32."""
BLOCK = 32
"""Columns of a region that are resized together on processors, at most."""


def cut_together(
    picture: Tensor, mask_probs: Tensor, boxes: Tensor, config: RegionConfig, paint: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns the pixels (R, 3, S, S) and masks (R, S, S) of regions, many at a time.

    Regions are resized together by both matrices, in the box around all of them.

    Args:
        picture: (3, H, W), normalised.
        mask_probs: (R, H, W), 0..1.
        boxes: (R, 4) int64 xyxy, none of them empty.
        config: its style is "crop" or "cropmask".
        paint: (3, 1, 1), normalised.
    """
    size = config.size
    regions = picture.new_empty(len(boxes), len(picture), size, size)
    # A mean of bilinear samples reads one pixel beside the box.
    margin = 1 if config.resize == "roi_align" else 0
    limit = boxes.new_tensor([picture.shape[2], picture.shape[1]])
    at_once = AT_ONCE.get(picture.device.type, 32)
    for begin in range(0, len(boxes), at_once):
        rows = slice(begin, begin + at_once)
        part = boxes[rows]
        first = (part[:, :2].amin(0) - margin).clamp(min=0)
        last = (part[:, 2:].amax(0) + margin).minimum(limit)
        (x1, y1), (x2, y2) = first.tolist(), last.tolist()
        window = picture[:, y1:y2, x1:x2]
        if config.style == "cropmask":
            weights = _weights_of(mask_probs[rows, None, y1:y2, x1:x2], config)
            window = painted(window, weights, paint)
        regions[rows] = resized(window, part - part.new_tensor([x1, y1, x1, y1]), config)
    at = _nearest(boxes, size)  # (R, 2, S)
    points = torch.arange(len(boxes), device=at.device)[:, None, None]
    return regions, _weights_of(mask_probs[points, at[:, 1, :, None], at[:, 0, None]], config)


def cut_one_by_one(
    picture: Tensor, mask_probs: Tensor, boxes: Tensor, config: RegionConfig, paint: Tensor
) -> tuple[Tensor, Tensor]:
    """`cut_together` for processors, which would multiply by zeros for most of the time.

    R_y has a few weights per row, so the rows of the box are summed by them; the rows of the three
    channels lie below each other. A block of columns of the region reads few columns of the box,
    and all blocks are one batched product of overlapping parts of those rows.
    """
    size, channels = config.size, len(picture)
    regions = picture.new_empty(len(boxes), channels * size, size)
    masks = picture.new_empty(len(boxes), size, size)
    sides = boxes[:, 2:] - boxes[:, :2]
    origin = torch.zeros_like(boxes[:, 0])
    columns, weights_x = axis_taps(origin, sides[:, 0], size, config.resize)  # (R, S, taps)
    rows, weights_y = axis_taps(origin, sides[:, 1], size, config.resize)
    below = sides[:, 1, None, None, None] * torch.arange(channels)[:, None, None]
    rows = (rows[:, None] + below).flatten(1, 2)  # (R, 3 * S, taps)
    weights_y = weights_y.to(picture.dtype).repeat(1, channels, 1)
    block = max(d for d in range(1, BLOCK + 1) if size % d == 0)
    count = size // block
    steps = _steps(columns, sides[:, 0], block)
    offsets = steps[:, None] * torch.arange(count)  # (R, blocks)
    columns = (columns - offsets.repeat_interleave(block, 1)[..., None]).unflatten(1, (-1, block))
    columns, weights_x = columns.mT, weights_x.to(picture.dtype).unflatten(1, (-1, block)).mT
    is_mean = not bool(paint.any())
    for index, (step, (x1, y1, x2, y2)) in enumerate(
        zip(steps.tolist(), boxes.tolist(), strict=True)
    ):
        window = picture[:, y1:y2, x1:x2]
        weights = _weights_of(mask_probs[index, y1:y2, x1:x2], config)
        masks[index] = F.interpolate(weights[None, None], (size, size), mode="nearest")[0, 0]
        if config.style == "cropmask":
            window = window * weights if is_mean else painted(window, weights, paint)
        lines = window.reshape(-1, x2 - x1)  # (3 * h, w)
        lines = F.embedding_bag(rows[index], lines, mode="sum", per_sample_weights=weights_y[index])
        width = x2 - x1 - (count - 1) * step
        along_x = lines.new_zeros(count, width, block)
        along_x.scatter_add_(1, columns[index], weights_x[index])
        parts = lines.as_strided((count, len(lines), width), (step, x2 - x1, 1))
        torch.bmm(parts, along_x, out=regions[index].unflatten(1, (count, block)).transpose(0, 1))
    return regions.unflatten(1, (channels, size)), masks


def _steps(columns: Tensor, widths: Tensor, block: int) -> Tensor:
    """Returns (R,) int64: how far apart parts of a box may lie, as many as there are blocks.

    All parts are equally wide and equally far apart, the first at the left edge of the box and the
    last at the right one; each holds all that its block reads.

    Args:
        columns: (R, S, taps), what each column of a region reads, rising.
        widths: (R,) of the boxes.
        block: columns per block, a divisor of S.
    """
    first, last = columns[:, ::block, 0], columns[:, block - 1 :: block, -1]  # (R, blocks)
    number = torch.arange(1, first.shape[1])
    if not len(number):
        return torch.zeros_like(widths)
    from_left = first[:, 1:] // number
    from_right = (widths[:, None] - 1 - last[:, :-1]) // number.flip(0)
    return torch.cat([from_left, from_right], 1).amin(1)


def _weights_of(probs: Tensor, config: RegionConfig) -> Tensor:
    """Returns how much pixels show, float: 1 above the threshold, or the probability."""
    if config.matting:
        return probs.float()
    # Much faster than comparing, then converting.
    return (probs.float() - config.threshold).ceil_().clamp_(min=0)


def _nearest(boxes: Tensor, size: int) -> Tensor:
    """Returns (R, 2, S), the x and y of pixels at floor(i * side / S) of boxes."""
    step = torch.arange(size, device=boxes.device, dtype=torch.float32)
    start, side = boxes[:, :2, None], (boxes[:, 2:] - boxes[:, :2])[..., None]
    return (step * (side.float() / size)).long().minimum(side - 1) + start


def resized(window: Tensor, boxes: Tensor, config: RegionConfig) -> Tensor:
    """Returns boxes (R, 4) of a window (3, h, w), or of one each (R, 3, h, w), as (R, 3, S, S)."""
    height, width = window.shape[-2:]
    size, kind = config.size, config.resize
    along_x = axis_matrix(boxes[:, 0], boxes[:, 2], size, width, kind)[:, None].to(window.dtype)
    along_y = axis_matrix(boxes[:, 1], boxes[:, 3], size, height, kind)[:, None].to(window.dtype)
    return along_y @ window @ along_x.mT


def painted(picture: Tensor, weights: Tensor, paint: Tensor) -> Tensor:
    """Returns a picture with paint (3, 1, 1) where weights are 0; all of them broadcast."""
    return picture * weights + paint * (1 - weights)
