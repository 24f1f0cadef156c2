"""What SAM, SAM 2 and SAM 3 share: frozen weights, a fingerprint and the way into the model."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.base import fingerprint_of
from segtune.errors import SegtuneError
from segtune.ops.normalisation import Normalisation
from segtune.types import Geometry


class FrozenSam(nn.Module):
    """Base of `Sam` and `Sam3`.

    Attributes:
        name: what tables and files call it.
        normalisation: of the images that it was trained with.
        input_size: side of the square model input in pixels.
        keeps_ratio: whether images are padded to the square (SAM) or squashed (SAM 2 and 3).
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        name: str,
        normalisation: Normalisation,
        input_size: int,
        keeps_ratio: bool,
    ) -> None:
        super().__init__()
        self.model: Any = model.eval().requires_grad_(False)
        self.name = name
        self.normalisation = normalisation
        self.input_size, self.keeps_ratio = input_size, keeps_ratio

    def train(self, mode: bool = True) -> FrozenSam:
        """Stays in evaluation mode: frozen means frozen."""
        return super().train(False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the weights; the same weights on any device give the same digits."""
        return fingerprint_of(self.model.state_dict())

    def geometry(self, height: int, width: int) -> Geometry:
        """Returns how an image of that size in pixels reaches the model input, and back.

        `ops.resize.to_original` follows it back. For SAM these are the steps of the official code;
        SAM 2 and 3 officially resize masks to the image in one step, here in two.
        """
        side = self.input_size
        resized = (side, side)
        if self.keeps_ratio:
            scale = side / max(height, width)
            resized = (max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1))
        return Geometry((height, width), resized, (side, side))

    def preprocess(self, pixels: Tensor) -> Tensor:
        """Returns (B, 3, S, S), resized, normalised and padded with zeros to the model input.

        Resizing is bilinear with a low-pass filter and does not round to whole grey values, which
        the official code does: at most half a grey value of difference.

        Args:
            pixels: (B, 3, H, W), 0..255 RGB, any size.
        """
        if pixels.ndim != 4 or pixels.shape[1] != 3 or 0 in pixels.shape[-2:]:
            raise SegtuneError(
                f"pixels have shape {tuple(pixels.shape)} but {self.name} needs (B, 3, H, W), "
                "RGB 0..255"
            )
        geometry = self.geometry(*pixels.shape[-2:])
        images = pixels.to(self.device, torch.float32)
        if tuple(images.shape[-2:]) != geometry.resized_size:
            images = F.interpolate(
                images, geometry.resized_size, mode="bilinear", align_corners=False, antialias=True
            )
        images = self.normalisation.apply(images)
        bottom = self.input_size - images.shape[-2]
        right = self.input_size - images.shape[-1]
        return F.pad(images, (0, right, 0, bottom)).to(self.model.dtype)
