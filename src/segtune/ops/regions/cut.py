"""Cutting regions out of an image for CLIP, as OVSeg, SimBaseline and ZegFormer do it.

A region is the box of a mask, with the background painted over, squashed to a square; in which box,
with which paint and resize is said in `recipes`. Each region is two small matrices, one per
axis, that hold the weights of the resize:

    region = R_y (image * M + fill * (1 - M)) R_x^T

Shape letters: Q masks, R regions, S side of a region, H W image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segtune.ops.normalisation import Normalisation
from segtune.ops.regions.kernels import cut_one_by_one, cut_together, painted, resized
from segtune.ops.regions.recipes import OVSEG, RegionConfig
from segtune.ops.resize import bilinear

LARGEST_PROBABILITY = 1 - 2**-24
"""The last float32 below one; a mask of certain pixels has finite logits with it."""


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
    normalisation: Normalisation,
) -> Regions:
    """Returns the regions of an image.

    OVSeg and SimBaseline cut the resized image without padding, ZegFormer the padded one.

    Args:
        image: (3, H, W) float RGB, 0..255.
        mask_probs: (Q, H, W), 0..1, bool or float; Q may be 0.
        normalisation: of the CLIP that looks at the regions.

    Example:
        >>> import torch
        >>> from segtune.ops.normalisation import CLIP
        >>> mask = torch.zeros(2, 8, 10, dtype=torch.bool)
        >>> mask[1, 2:5, 3:9] = True
        >>> config = RegionConfig(size=4)
        >>> cut = cut_regions(torch.ones(3, 8, 10), mask, config, normalisation=CLIP)
        >>> cut.valid.tolist(), cut.boxes_px.tolist(), tuple(cut.pixels.shape)
        ([False, True], [[3, 2, 9, 5]], (1, 3, 4, 4))
    """
    rows = mask_probs.amax(2) > config.threshold  # (Q, H), touched
    valid = rows.any(1) | (config.empty == "full_image")
    if not bool(valid.all()):
        mask_probs, rows = mask_probs[valid], rows[valid]
    mean, std = normalisation.tensors(image)
    picture = (image - mean) / std
    paint = (_fill(image, config, mean) - mean) / std  # (3, 1, 1)
    size = (image.shape[1], image.shape[2])
    if config.style == "mask":
        boxes = _whole(len(rows), size, image.device)
        masks = _mask_at_region_size(mask_probs.to(image.dtype), config)
        squashed = bilinear(picture, (config.size, config.size))
        if config.resize == "bicubic":
            squashed = resized(picture, _whole(1, size, image.device), config)[0]
        return Regions(painted(squashed, masks[:, None], paint), masks, valid, boxes)
    boxes = _boxes(mask_probs, rows, config)
    learns = torch.is_grad_enabled() and (image.requires_grad or mask_probs.requires_grad)
    is_sparse = image.device.type == "cpu" and config.resize != "roi_align" and not learns
    cut = cut_one_by_one if is_sparse else cut_together
    return Regions(*cut(picture, mask_probs, boxes, config, paint), valid, boxes)


def _fill(image: Tensor, config: RegionConfig, mean: Tensor) -> Tensor:
    """Returns the paint as (3, 1, 1), 0..255."""
    if isinstance(config.fill, str):
        return mean if config.fill == "mean" else torch.zeros_like(mean)
    return image.new_tensor(config.fill)[:, None, None]


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
