"""Masks of everything in an image: a grid of points, the sure answers, and no near copies.

Uni-OVSeg's own inference, with memory and time spent on masks that survive: scores come first, and
only masks that pass them are ever formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.backbones.uniovseg.canvas import picture_extent
from segtune.backbones.uniovseg.mask_decoder import MaskAnswers
from segtune.backbones.uniovseg.seen import CHUNK, AnswersPrompts, Seen
from segtune.errors import SegtuneError
from segtune.ops.masks.suppression import grid_points, mask_suppression, stability

MIN_IOU = 0.6190392
"""ln(0.65 / 0.35): the official code takes the sigmoid of the IoU once more and keeps 0.65."""
AT_ONCE = 32
"""Masks that are enlarged together."""


@dataclass(frozen=True)
class EverythingConfig:
    """How masks of everything are found; the defaults are the official ones.

    Attributes:
        grid: points per row and rows.
        min_iou: of the masks that stay, as the decoder expects it.
        max_iou, max_inside: a mask goes where a better one that stays overlaps it by `max_iou` in
            IoU, or holds this share of it; None keeps parts of a better whole.
        min_stability: masks go whose areas at plus and minus one logit differ by more, as a ratio;
            0 keeps all.
        shrink: the suppression looks at masks of the canvas halved (2), as the official code does,
            or at those of the decoder, a quarter of it (4): faster, and different at close calls.
    """

    grid: tuple[int, int] = (20, 20)
    min_iou: float = MIN_IOU
    max_iou: float = 0.5
    max_inside: float | None = 0.7
    min_stability: float = 0.0
    shrink: int = 2

    def __post_init__(self) -> None:
        if min(self.grid) < 1 or self.shrink not in (2, 4):
            raise SegtuneError(
                f"grid={self.grid}, shrink={self.shrink}; expected at least one point per side, "
                "and 2 or 4"
            )


@dataclass(frozen=True)
class FoundMasks:
    """Masks of one image, best first.

    Attributes:
        mask_logits: (N, h, w), unbounded, at a quarter of the canvas.
        ious: (N,), 0..1, how good the decoder takes them to be.
        ids: (N,) int64, their number among all points times granularities, point by point.
    """

    mask_logits: Tensor
    ious: Tensor
    ids: Tensor


def grid_on(
    pictures: list[tuple[int, int]], size: tuple[int, int], grid: tuple[int, int]
) -> Tensor:
    """Returns the points (B, P, 2) of a grid over each picture, in pixels of a square input.

    Args:
        pictures: (H, W) of the original images.
        size: of the input.
        grid: points per row and rows.
    """
    points = grid_points(*grid)
    extents = torch.tensor([picture_extent(picture, max(size)) for picture in pictures])
    return points * extents[:, None]


@torch.no_grad()
def find_everything(
    model: AnswersPrompts,
    seen: Seen,
    pictures: list[tuple[int, int]],
    config: EverythingConfig | None = None,
    *,
    chunk: int = CHUNK,
) -> list[FoundMasks]:
    """Returns the masks of everything in each image.

    Args:
        seen: of the images on their canvas.
        pictures: (H, W) of the original images, which say where the canvas has a picture.
        chunk: points that are decoded at a time.
    """
    config = config or EverythingConfig()
    points = grid_on(pictures, seen.size, config.grid).to(model.device)
    answers = model.answer(model.points(points, seen), seen, chunk=chunk)
    return [_survivors(answers, seen, image, config) for image in range(len(points))]


def _survivors(
    answers: MaskAnswers, seen: Seen, image: int, config: EverythingConfig
) -> FoundMasks:
    ious = answers.ious[image].flatten()
    ids = (ious >= config.min_iou).nonzero()[:, 0]
    masks = answers.chosen(seen.mask_features, image, ids)
    if config.min_stability > 0:
        sure = stability(masks) >= config.min_stability
        masks, ids = masks[sure], ids[sure]
    keep = mask_suppression(
        _halved(masks, seen.size) if config.shrink == 2 else masks >= 0,
        ious[ids],
        max_iou=config.max_iou,
        max_inside=config.max_inside,
    )
    return FoundMasks(masks[keep], ious[ids][keep], ids[keep])


def _halved(mask_logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Returns (N, H / 2, W / 2) bool: masks enlarged to the input and halved, a few at a time."""
    parts = []
    for part in mask_logits.split(AT_ONCE):
        large = F.interpolate(part[:, None], size, mode="bilinear", align_corners=False)
        half = F.interpolate(large, scale_factor=0.5, mode="bilinear", align_corners=False)
        parts.append(half[:, 0] >= 0)
    return torch.cat(parts)
