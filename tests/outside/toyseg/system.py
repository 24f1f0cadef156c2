"""The systems: every pixel against every word, with a learned shift for classes of the fit."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.systems.base import System, Targets, Words
from segtune.types import Features, Geometry, MaskPrediction

from .config import ToyConfig


class Shifts(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.by_class = nn.Parameter(torch.zeros(count))


class ToySystem(System):
    def __init__(self, backbone: nn.Module, config: ToyConfig, *, name: str, seed: int = 0) -> None:
        super().__init__()
        self.name, self.config, self.backbone = name, config, backbone
        self.prompts = Shifts(len(config.classes)) if name == "toyshift" else nn.Module()
        self.train(False)

    @property
    def stride(self) -> int:
        return 1

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Features:
        maps = self.backbone.colour(pixels.permute(0, 2, 3, 1) / 255).permute(0, 3, 1, 2)
        return Features({"maps": maps}, tuple(pixels.shape[-2:]))

    def forward(self, features: Features, words: Words) -> Tensor:
        scores = self.config.scale * torch.einsum(
            "bchw,kc->bkhw", F.normalize(features.tensors["maps"], dim=1), words.embeds
        )
        if not self.num_learned():
            return scores
        row = {name: i for i, name in enumerate(self.config.classes)}
        known = torch.tensor([row.get(name, -1) for name in words.names])
        shifts = torch.where(known >= 0, self.prompts.by_class[known.clamp(min=0)], 0.0)
        return scores + shifts[:, None, None]

    def predict(
        self, features: Features, words: Words, geometries: Sequence[Geometry]
    ) -> list[MaskPrediction]:
        logits = self(features, words)
        return [MaskPrediction(g, pixel_logits=x) for g, x in zip(geometries, logits, strict=True)]

    def loss(self, features: Features, words: Words, targets: Targets) -> dict[str, Tensor]:
        logits = self(features, words)
        if not (targets.semantic >= 0).any():
            return {"loss": logits.sum() * 0}
        return {"loss": F.cross_entropy(logits, targets.semantic, ignore_index=-1)}
