"""Cutting regions out of an image for CLIP: the recipes of OVSeg, SimBaseline and ZegFormer.

A region is the box of a mask, with the background painted over, squashed to a square. The recipes
differ in the box, the paint and the resize, and CLIP notices; `RegionConfig` spells them out. Each
region is two small matrices, one per axis, that hold the weights of the resize:

    region = R_y (image * M + fill * (1 - M)) R_x^T

Sources: OVSeg (Liang et al., CVPR 2023), SimBaseline (Xu et al., ECCV 2022), ZegFormer (Ding et
al., CVPR 2022) and what their released code does beyond the papers.

Shape letters: Q masks, R regions, S side of a region, H W image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.errors import SegtuneError
from segtune.ops.axis_resize import Resize, axis_matrix, axis_taps
from segtune.ops.resize import bilinear

AT_ONCE = {"cpu": 1}
"""Device -> regions that `_cut_together` takes at once; others take 32."""
BLOCK = 32
"""Columns of a region that are resized together on processors, at most."""
LARGEST_PROBABILITY = 1 - 2**-24
"""The last float32 below one; a mask of certain pixels has finite logits with it."""


@dataclass(frozen=True)
class RegionConfig:
    """How masks become regions; the defaults are OVSeg's with Swin-B.

    Attributes:
        style: "crop" cuts out the box and keeps the background, "cropmask" paints it over, "mask"
            paints over all but the mask and keeps the whole image, whose mask is thresholded only
            at the size of the region.
        threshold: a pixel belongs to a region where its probability is above this.
        fill: paint: the mean colour of CLIP, zero after normalisation; or black; or RGB 0..255.
        expand_ratio: factor on the sides of the box, 1 or more, about its centre; corners are cut
            to whole pixels towards zero.
        matting: blend with the probability instead of the thresholded mask.
        size: S in pixels.
        resize: "bicubic" (a = -0.75, no antialiasing, borders repeated at the edge of the box, not
            of the image), "bilinear" in the same way, or "roi_align" (mean of bilinear samples).
        box: "half_open" ends after the last pixel; "zegformer" ends before it, and is the whole
            image where nothing is left, as for lines one pixel wide.
        empty: masks without a pixel are skipped, or stand for the whole image.
    """

    style: Literal["crop", "mask", "cropmask"] = "cropmask"
    threshold: float = 0.4
    fill: Literal["mean", "zero"] | tuple[float, float, float] = "mean"
    expand_ratio: float = 1.0
    matting: bool = False
    size: int = 224
    resize: Resize = "bicubic"
    box: Literal["half_open", "zegformer"] = "half_open"
    empty: Literal["skip", "full_image"] = "skip"

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise SegtuneError(f"threshold is {self.threshold}; give a probability below 1")
        if self.size < 1 or not self.expand_ratio >= 1:
            raise SegtuneError(
                f"size is {self.size}, expand_ratio {self.expand_ratio}; both must be 1 or more"
            )
        if self.style == "mask" and self.resize == "roi_align":
            raise SegtuneError('style "mask" keeps the whole image; use resize="bilinear"')


OVSEG = RegionConfig()
"""OVSeg with Swin-B; its R-101c model takes threshold 0.5, its demo 0.35."""
SIMBASELINE = replace(OVSEG, threshold=0.5)
ZEGFORMER = RegionConfig(threshold=0.5, resize="roi_align", box="zegformer", empty="full_image")
"""ZegFormer's choice among its three styles, crop and mask."""
ZEGFORMER_CROP = replace(ZEGFORMER, style="crop")
ZEGFORMER_MASK = replace(ZEGFORMER, style="mask", resize="bilinear")


@dataclass(frozen=True)
class Regions:
    """Regions of one image, in the order of their masks.

    Attributes:
        pixels: (R, 3, S, S), normalised.
        masks: (R, S, S), 1 on the region and 0 beside it; 0..1 with matting.
        valid: (Q,) bool, the masks that became regions; R of them.
        boxes_px: (R, 4) int64 xyxy in the image that was cut, right and bottom exclusive (one less
            for box "zegformer", as its resize uses it).
    """

    pixels: Tensor
    masks: Tensor
    valid: Tensor
    boxes_px: Tensor


def cut_regions(
    image: Tensor,
    mask_probs: Tensor,
    config: RegionConfig = OVSEG,
    *,
    mean: Sequence[float],
    std: Sequence[float],
) -> Regions:
    """Returns the regions of an image.

    OVSeg and SimBaseline cut the resized image without padding, ZegFormer the padded one.

    Args:
        image: (3, H, W) float RGB, 0..255.
        mask_probs: (Q, H, W), 0..1, bool or float; Q may be 0.
        mean, std: per RGB channel, 0..1, as `ClipVit` has them.

    Example:
        >>> import torch
        >>> mask = torch.zeros(2, 8, 10, dtype=torch.bool)
        >>> mask[1, 2:5, 3:9] = True
        >>> config = RegionConfig(size=4)
        >>> cut = cut_regions(torch.ones(3, 8, 10), mask, config, mean=[0.5] * 3, std=[0.2] * 3)
        >>> cut.valid.tolist(), cut.boxes_px.tolist(), tuple(cut.pixels.shape)
        ([False, True], [[3, 2, 9, 5]], (1, 3, 4, 4))
    """
    rows = mask_probs.amax(2) > config.threshold  # (Q, H), touched
    valid = rows.any(1) | (config.empty == "full_image")
    if not bool(valid.all()):
        mask_probs, rows = mask_probs[valid], rows[valid]
    normal, shift = (255 * image.new_tensor(values)[:, None, None] for values in (std, mean))
    picture = (image - shift) / normal
    paint = (_fill(image, config, shift) - shift) / normal  # (3, 1, 1)
    size = (image.shape[1], image.shape[2])
    if config.style == "mask":
        boxes = _whole(len(rows), size, image.device)
        masks = _mask_at_region_size(mask_probs.to(image.dtype), config)
        squashed = bilinear(picture, (config.size, config.size))
        if config.resize == "bicubic":
            squashed = _resized(picture, _whole(1, size, image.device), config)[0]
        return Regions(_painted(squashed, masks[:, None], paint), masks, valid, boxes)
    boxes = _boxes(mask_probs, rows, config)
    learns = torch.is_grad_enabled() and (image.requires_grad or mask_probs.requires_grad)
    is_sparse = image.device.type == "cpu" and config.resize != "roi_align" and not learns
    cut = _cut_one_by_one if is_sparse else _cut_together
    return Regions(*cut(picture, mask_probs, boxes, config, paint), valid, boxes)


def _fill(image: Tensor, config: RegionConfig, mean: Tensor) -> Tensor:
    """Returns the paint as (3, 1, 1), 0..255."""
    if isinstance(config.fill, str):
        return mean if config.fill == "mean" else torch.zeros_like(mean)
    return image.new_tensor(config.fill)[:, None, None]


def _painted(picture: Tensor, weights: Tensor, paint: Tensor) -> Tensor:
    return picture * weights + paint * (1 - weights)


def _mask_at_region_size(probs: Tensor, config: RegionConfig) -> Tensor:
    """Returns (R, S, S) masks: logits are resized, then thresholded."""
    logits = probs.clamp(1 - LARGEST_PROBABILITY, LARGEST_PROBABILITY).logit()
    resized = bilinear(logits, (config.size, config.size)).sigmoid()
    return resized if config.matting else (resized > config.threshold).to(probs.dtype)


# -- boxes ------------------------------------------------------------------------------------


def _whole(count: int, size: tuple[int, int], device: torch.device) -> Tensor:
    """Returns (R, 4) boxes of the whole image."""
    return torch.tensor([[0, 0, size[1], size[0]]], device=device).repeat(count, 1)


def _boxes(mask_probs: Tensor, rows: Tensor, config: RegionConfig) -> Tensor:
    """Returns (R, 4) int64 boxes of (R, H, W) masks that touch the rows (R, H)."""
    size = (mask_probs.shape[1], mask_probs.shape[2])
    some, (y1, y2) = rows.any(1), _ends(rows)
    columns = rows.new_zeros(len(rows), size[1])
    sides = zip(columns, mask_probs, y1.tolist(), y2.tolist(), strict=True)
    for column, probs, top, bottom in sides:
        torch.gt(probs[top:bottom].amax(0), config.threshold, out=column)
    x1, x2 = _ends(columns)
    boxes = torch.stack([x1, y1, x2, y2], 1)
    if config.box == "zegformer":
        boxes[:, 2:] -= 1
    if config.expand_ratio != 1:
        boxes = _expanded(boxes, config.expand_ratio, size)
    nothing = ~some | (boxes[:, 2:] <= boxes[:, :2]).any(1)
    return torch.where(nothing[:, None], _whole(len(boxes), size, boxes.device), boxes)


def _ends(touched: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the first place of (R, L) bool that is touched, and the one after the last."""
    places = touched.int()
    return places.argmax(1), places.shape[1] - places.flip(1).argmax(1)  # the first of equals


def _expanded(boxes: Tensor, ratio: float, size: tuple[int, int]) -> Tensor:
    """Returns boxes with sides `ratio` times as long, cut to whole pixels inside the image."""
    corners = boxes.double()
    centre = (corners[:, :2] + corners[:, 2:]) / 2
    half = (corners[:, 2:] - corners[:, :2]) * ratio / 2
    limit = boxes.new_tensor([size[1], size[0]] * 2)
    return torch.cat([centre - half, centre + half], 1).trunc().long().clamp(min=0).minimum(limit)


# -- cut and resize --------------------------------------------------------------------------


def _cut_together(
    picture: Tensor, mask_probs: Tensor, boxes: Tensor, config: RegionConfig, paint: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns the pixels (R, 3, S, S) and masks (R, S, S) of regions, many at a time.

    Regions are resized together by both matrices, in the box around all of them.
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
            window = _painted(window, weights, paint)
        regions[rows] = _resized(window, part - part.new_tensor([x1, y1, x1, y1]), config)
    at = _nearest(boxes, size)  # (R, 2, S)
    points = torch.arange(len(boxes), device=at.device)[:, None, None]
    return regions, _weights_of(mask_probs[points, at[:, 1, :, None], at[:, 0, None]], config)


def _cut_one_by_one(
    picture: Tensor, mask_probs: Tensor, boxes: Tensor, config: RegionConfig, paint: Tensor
) -> tuple[Tensor, Tensor]:
    """`_cut_together` for processors, which would multiply by zeros for most of the time.

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
            window = window * weights if is_mean else _painted(window, weights, paint)
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


def _resized(window: Tensor, boxes: Tensor, config: RegionConfig) -> Tensor:
    """Returns boxes (R, 4) of a window (3, h, w), or of one each (R, 3, h, w), as (R, 3, S, S)."""
    height, width = window.shape[-2:]
    size, kind = config.size, config.resize
    along_x = axis_matrix(boxes[:, 0], boxes[:, 2], size, width, kind)[:, None].to(window.dtype)
    along_y = axis_matrix(boxes[:, 1], boxes[:, 3], size, height, kind)[:, None].to(window.dtype)
    return along_y @ window @ along_x.mT
