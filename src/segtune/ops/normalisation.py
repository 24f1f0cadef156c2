"""How the pixels of an image are brought to the scale that a model was trained on.

Everywhere in segtune pixels are RGB 0..255, and so are the means and deviations here. Torch is not
imported, so that cards of models can say theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

RGB = tuple[float, float, float]
DIGITS = 12
"""Decimals of values 0..1 in files."""


@dataclass(frozen=True)
class Normalisation:
    """Mean 0 and deviation 1 per channel.

    Attributes:
        mean, std: per RGB channel, 0..255.
        by_unit: pixels, mean and deviation are divided by 255 first, as CLIP's and SAM's own code
            does; the same numbers but for the last bit.

    Example:
        >>> import torch
        >>> Normalisation((10, 20, 30), (2, 4, 5)).apply(torch.full((3, 1, 1), 40.0)).flatten()
        tensor([15.,  5.,  2.])
    """

    mean: RGB
    std: RGB
    by_unit: bool = False

    @classmethod
    def of_unit(cls, mean: Sequence[float], std: Sequence[float]) -> Normalisation:
        """Returns that of a mean and deviation of values 0..1, for a model that takes them so."""
        return cls(_rgb(255 * value for value in mean), _rgb(255 * value for value in std), True)

    @property
    def unit_mean(self) -> RGB:
        """The mean of values 0..1, as files state it."""
        return _rgb(round(value / 255, DIGITS) for value in self.mean)

    @property
    def unit_std(self) -> RGB:
        """The deviation of values 0..1, as files state it."""
        return _rgb(round(value / 255, DIGITS) for value in self.std)

    def tensors(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Returns mean and deviation, 0..255, as (3, 1, 1) with the dtype and device of `like`."""
        if self.by_unit:
            mean, std = (255 * like.new_tensor(v) for v in (self.unit_mean, self.unit_std))
        else:
            mean, std = like.new_tensor(self.mean), like.new_tensor(self.std)
        return mean[:, None, None], std[:, None, None]

    def apply(self, pixels: Tensor) -> Tensor:
        """Returns normalised pixels.

        Args:
            pixels: (..., 3, H, W) RGB, 0..255, in floating point.
        """
        values = (self.unit_mean, self.unit_std) if self.by_unit else (self.mean, self.std)
        mean, std = (pixels.new_tensor(channels)[:, None, None] for channels in values)
        return ((pixels / 255 if self.by_unit else pixels) - mean) / std


def _rgb(values: Iterable[float]) -> RGB:
    red, green, blue = values
    return red, green, blue


IMAGENET = Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
"""Of detectron2 and mmsegmentation."""
IMAGENET_BY_UNIT = replace(IMAGENET, by_unit=True)
"""Of torchvision, SAM and transformers."""
CLIP = Normalisation.of_unit(
    (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
)
HALF = Normalisation.of_unit((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""From -1 to 1."""
