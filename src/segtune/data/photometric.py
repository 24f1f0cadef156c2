"""Photometric distortion: brightness, contrast, saturation and hue, each with probability 1/2.

The augmentation of SSD (Liu et al., 2016) with the ranges that RPN and ZegCLIP train with. Contrast
comes either before or after the changes in HSV, decided by a coin. Results stay within 0..255.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from segtune.data.examples import Example


@dataclass(frozen=True)
class PhotometricDistortion:
    """Random changes of colour of one image.

    Attributes:
        brightness: largest shift, in units of 0..255.
        contrast: range of the factor of all channels.
        saturation: range of the factor of the saturation.
        hue_degrees: largest turn; 36 are the 18 units of 2 degrees in OpenCV.
    """

    brightness: float = 32.0
    contrast: tuple[float, float] = (0.5, 1.5)
    saturation: tuple[float, float] = (0.5, 1.5)
    hue_degrees: float = 36.0

    def __call__(self, example: Example, generator: torch.Generator) -> Example:
        return replace(example, image=self.distorted(example.image, generator))

    def distorted(self, image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Returns the distorted image, (3, H, W) float32 RGB 0..255 as given."""
        # All numbers are drawn, used or not: every image takes the same steps of the generator.
        coins = torch.rand(5, generator=generator) < 0.5
        draws = torch.rand(4, generator=generator)
        bright, contrast_now, contrast_first, saturate, turn = coins.tolist()
        shift = (2 * draws[0] - 1) * self.brightness
        contrast, saturation = (
            low + (high - low) * draw
            for (low, high), draw in zip((self.contrast, self.saturation), draws[1:3], strict=True)
        )
        if bright:
            image = (image + shift).clamp(0, 255)
        if contrast_now and contrast_first:
            image = (image * contrast).clamp(0, 255)
        if saturate or turn:
            hue, saturations, value = rgb_to_hsv(image)
            if saturate:
                saturations = (saturations * saturation).clamp(0, 1)
            if turn:
                hue = (hue + (2 * draws[3] - 1) * self.hue_degrees) % 360
            image = hsv_to_rgb(hue, saturations, value)
        if contrast_now and not contrast_first:
            image = (image * contrast).clamp(0, 255)
        return image


def rgb_to_hsv(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns hue in 0..360 degrees, saturation 0..1 and value, each (H, W), of (3, H, W) RGB.

    Grey pixels have hue 0.

    Example:
        >>> hue, saturation, value = rgb_to_hsv(torch.tensor([0.0, 255.0, 0.0]).view(3, 1, 1))
        >>> hue.item(), saturation.item(), value.item()
        (120.0, 1.0, 255.0)
    """
    red, green, blue = image
    value, brightest = image.max(0)
    spread = value - image.amin(0)
    safe = spread.clamp(min=1e-6)
    sectors = torch.stack(
        ((green - blue) / safe % 6, (blue - red) / safe + 2, (red - green) / safe + 4)
    )
    hue = 60 * sectors.gather(0, brightest[None])[0]
    return torch.where(spread > 0, hue, 0), spread / value.clamp(min=1e-6), value


def hsv_to_rgb(hue: torch.Tensor, saturation: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Returns (3, H, W) RGB on the scale of `value`, of hue in degrees and saturation 0..1."""
    # Distance of each primary from the hue on the circle of six sectors, 0 at the primary itself.
    offsets = torch.tensor([5.0, 3.0, 1.0], device=hue.device)[:, None, None]
    sector = (offsets + hue / 60) % 6
    share = torch.minimum(sector, 4 - sector).clamp(0, 1)
    return value * (1 - saturation * share)
