"""Dense CLIP with a ConvNeXt: every place of the last map through CLIP's own head.

FC-CLIP (Yu et al., NeurIPS 2023, section 3.2) reads a ConvNeXt CLIP so at any input size; nothing
is trained, and no attention is in the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.clip_convnext.model import ClipConvNext
from segtune.errors import SegtuneError
from segtune.systems.base import System, Targets, Words
from segtune.types import Features, Geometry, MaskPrediction


@dataclass(frozen=True)
class DenseConvNextConfig:
    """There is nothing to choose."""


class DenseConvNext(System):
    """A frozen ConvNeXt CLIP read densely; nothing is learned, so the seed plays no part."""

    backbone: ClipConvNext
    config: DenseConvNextConfig

    def __init__(
        self,
        backbone: ClipConvNext,
        config: DenseConvNextConfig | None = None,
        *,
        name: str = "dense-clip",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.name, self.backbone = name, backbone
        self.config = config or DenseConvNextConfig()
        self.prompts = nn.Module()
        self.train(False)

    @property
    def stride(self) -> int:
        """That of the coarsest map."""
        return self.backbone.patch_size

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Features:
        """Returns the places (B, h, w, k), unit length, of (B, 3, H, W) pixels 0..255."""
        clip = self.backbone
        last = clip.dense(clip.normalisation.apply(pixels.to(clip.device).float()))[-1]
        places = F.normalize(clip.project(last.permute(0, 2, 3, 1)), dim=-1)
        return Features({"places": places}, (last.shape[-2], last.shape[-1]))

    def predict(
        self, features: Features, words: Words, geometries: Sequence[Geometry]
    ) -> list[MaskPrediction]:
        """Returns dense predictions: cosine similarity times CLIP's own scale."""
        places = features.tensors["places"]
        logits = self.backbone.temperature * places @ words.embeds.to(places).T
        return [
            MaskPrediction(geometry, pixel_logits=picture)
            for picture, geometry in zip(logits.permute(0, 3, 1, 2), geometries, strict=True)
        ]

    def loss(self, features: Features, words: Words, targets: Targets) -> dict[str, Tensor]:
        """Raises `SegtuneError`: there is nothing to learn."""
        raise SegtuneError(
            "dense-clip learns nothing, and no system learns on a ConvNeXt CLIP alone; choose a "
            "CLIP ViT with --system rpn, zegclip or vpt"
        )
