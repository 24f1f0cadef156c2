"""Batches of augmented regions, a pure function of the step (OVSeg's code: open_clip's transforms).

RandomResizedCrop with a scale of 0.9 to 1 and aspect ratios of 3/4 to 4/3, bicubic; no flip. Masks
are carried along, resized by nearest. Released crops have none: theirs is every pixel that has not
the colour of the paint after the crop, as in the released code, so that blended pixels at the
border count as the region.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from segtune.errors import SegtuneError
from segtune.ops.normalisation import Normalisation
from segtune.trainers.pairs.regions import PairRegions

TRIES = 10
"""Boxes that are drawn before a crop gives up and keeps the whole picture, as in torchvision."""


@dataclass(frozen=True)
class Augment:
    """The random crop.

    Attributes:
        scale: range of the share of the area that is kept.
        ratio: range of width / height, drawn evenly in the logarithm.
    """

    scale: tuple[float, float] = (0.9, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1] <= 1 or not 0 < self.ratio[0] <= self.ratio[1]:
            raise SegtuneError(
                f"scale {self.scale} and ratio {self.ratio} must be ranges above 0, scale up to 1"
            )

    def box(self, side: int, generator: torch.Generator) -> tuple[int, int, int, int]:
        """Returns a random (x1, y1, x2, y2) inside a square picture."""
        low, high = (math.log(value) for value in self.ratio)
        for _ in range(TRIES):
            draws = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
            area = side * side * (self.scale[0] + (self.scale[1] - self.scale[0]) * draws[0])
            ratio = math.exp(low + (high - low) * draws[1])
            width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < width <= side and 0 < height <= side:
                x, y = int(draws[2] * (side - width + 1)), int(draws[3] * (side - height + 1))
                return x, y, x + width, y + height
        return 0, 0, side, side


@dataclass(frozen=True)
class Batch:
    """What one step learns from.

    Attributes:
        pixels: (B, 3, S, S), normalised.
        masks: (B, S, S) bool.
        text_ids: (B,) int64, rows of the distinct texts.
    """

    pixels: Tensor
    masks: Tensor
    text_ids: Tensor


class Batches:
    """The batch of every step; each pair once per epoch, in an order that depends on the seed.

    Args:
        regions: of all pairs.
        text_ids: which text each pair has.
        size: pairs per batch; all where there are fewer. The rest of an epoch is left out.
        fill_color: RGB of the paint of released crops.
    """

    def __init__(
        self,
        regions: PairRegions,
        text_ids: Sequence[int],
        *,
        size: int,
        augment: Augment,
        normalisation: Normalisation,
        fill_color: tuple[int, int, int],
        seed: int,
    ) -> None:
        self.regions, self.augment, self.seed = regions, augment, seed
        self.size = min(size, len(regions))
        self.steps_per_epoch = len(regions) // self.size
        self._text_ids = torch.as_tensor(list(text_ids))
        self._normalisation = normalisation
        self._paint = torch.tensor(fill_color)[:, None, None]
        self._order: tuple[int, Tensor] | None = None

    def __call__(self, step: int) -> Batch:
        """Returns the batch of a step, the same whenever it is asked for."""
        epoch, place = divmod(step, self.steps_per_epoch)
        rows = self._order_of(epoch)[place * self.size : (place + 1) * self.size]
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + step) * 2 + 1)
        shown = [self._view(index, generator) for index in rows.tolist()]
        pixels, masks = (torch.stack(parts) for parts in zip(*shown, strict=True))
        return Batch(pixels, masks, self._text_ids[rows])

    def _order_of(self, epoch: int) -> Tensor:
        if self._order is None or self._order[0] != epoch:
            generator = torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) * 2)
            self._order = (epoch, torch.randperm(len(self.regions), generator=generator))
        return self._order[1]

    def _view(self, index: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        region = self.regions[index]
        side = region.pixels.shape[1]
        x1, y1, x2, y2 = self.augment.box(side, generator)
        pixels = _bicubic(region.pixels[:, y1:y2, x1:x2].float(), side)
        if region.mask is not None:
            return pixels, _nearest(region.mask[y1:y2, x1:x2], side)
        stored = pixels.round().clamp(0, 255)  # the released code looks at 8-bit pictures
        return self._normalisation.apply(stored), (stored != self._paint).any(0)


def _bicubic(picture: Tensor, side: int) -> Tensor:
    """Returns (3, S, S); antialiased, with the kernel of PIL."""
    if picture.shape[1:] == (side, side):
        return picture
    return F.interpolate(picture[None], (side, side), mode="bicubic", antialias=True)[0]


def _nearest(mask: Tensor, side: int) -> Tensor:
    if mask.shape == (side, side):
        return mask
    return F.interpolate(mask[None, None].float(), (side, side), mode="nearest")[0, 0] > 0
