"""Dense CLIP: the zero-training baseline that every fitted prompt is compared with.

MaskCLIP (Zhou et al., ECCV 2022): the last layer's attention is replaced by its value path, so
every patch keeps its own features, which are compared with the class names as CLIP compares
images.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segtune.backbones.clip.model import ClipVit
from segtune.errors import SegtuneError
from segtune.systems.base import System, Targets, Words
from segtune.systems.rpn.config import DenseClipConfig
from segtune.systems.rpn.encoder import as_picture
from segtune.types import Features, Geometry, MaskPrediction


class DenseClip(System):
    """A frozen CLIP read densely; nothing is learned, so the seed plays no part."""

    backbone: ClipVit
    config: DenseClipConfig

    def __init__(
        self,
        backbone: ClipVit,
        config: DenseClipConfig | None = None,
        *,
        name: str = "dense-clip",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.name = name
        self.config = config or DenseClipConfig()
        self.backbone = backbone
        self.prompts = nn.Module()
        self.train(False)

    @property
    def stride(self) -> int:
        """The patch size."""
        return self.backbone.patch_size

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Features:
        """Returns patch embeddings in the joint space, of (B, 3, H, W) pixels 0..255."""
        clip = self.backbone
        grid = clip.grid(*pixels.shape[-2:])
        tokens = clip.embed(clip.normalisation.apply(pixels.float()))
        last = clip.num_layers - 1
        for index in range(last):
            tokens = clip.block(index, tokens)
        tokens = (
            clip.value_path(last, tokens) if self.config.value_path else clip.block(last, tokens)
        )
        return Features({"patches": clip.to_joint(tokens[:, 1:])}, grid)

    def predict(
        self, features: Features, words: Words, geometries: Sequence[Geometry]
    ) -> list[MaskPrediction]:
        """Returns dense predictions: cosine similarity times CLIP's own scale."""
        logits = self.backbone.temperature * features.tensors["patches"] @ words.embeds.T
        return [
            MaskPrediction(geometry, pixel_logits=picture)
            for picture, geometry in zip(as_picture(logits, features.grid), geometries, strict=True)
        ]

    def loss(self, features: Features, words: Words, targets: Targets) -> dict[str, Tensor]:
        """Raises `SegtuneError`: there is nothing to learn."""
        raise SegtuneError("dense-clip has no prompts to fit; choose --system rpn, zegclip or vpt")
