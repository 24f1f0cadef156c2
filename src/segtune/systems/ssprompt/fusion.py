"""Fusion of default and learned embeddings: equations 4 and 6 of SSPrompt."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segtune.systems.ssprompt.config import SSPromptConfig

INIT_STD = 0.02


class FusedEmbeddings(nn.Module):
    """N learned embeddings and their weights, fused with N default ones.

    convex: w z + (1 - w) e, written z + (1 - w)(e - z), so that e = z gives z bit for bit.
    additive: w z + e. average: convex with w = 1/2, not learned. replace: e alone.

    Args:
        count, width: N and D; the default embeddings z arrive later, in `start` and `forward`,
            because they belong to the frozen model and are not stored with the prompts.
    """

    def __init__(self, count: int, width: int, config: SSPromptConfig) -> None:
        super().__init__()
        self.config = config
        self.embeds = nn.Parameter(torch.zeros(count, width))
        self.weight: nn.Parameter | None = None
        if config.fusion in ("convex", "additive"):
            shape = {"scalar": (count, 1), "channel": (count, width), "global": (1, 1)}
            start = torch.full(shape[config.weight_shape], float(config.weight_init))
            if config.weight_param == "sigmoid":
                start = start.clamp(1e-4, 1 - 1e-4).logit()
            self.weight = nn.Parameter(start)

    @torch.no_grad()
    def start(self, default: Tensor, generator: torch.Generator) -> None:
        """Sets the learned embeddings for the default ones, (N, D)."""
        noise = torch.randn(self.embeds.shape, generator=generator) * INIT_STD
        noise = noise.to(default)
        values = {
            "copy": default,
            "noise": default + noise,
            "normal": noise,
            "zeros": torch.zeros_like(default),
        }
        self.embeds.copy_(values[self.config.embed_init])

    def weights(self) -> Tensor:
        """Returns w, broadcastable to (N, D)."""
        if self.weight is None:
            return self.embeds.new_full((1, 1), 0.0 if self.config.fusion == "replace" else 0.5)
        if self.config.weight_param == "sigmoid":
            return self.weight.sigmoid()
        return self.weight.clamp(0, 1) if self.config.weight_param == "clamp01" else self.weight

    def forward(self, default: Tensor) -> Tensor:
        """Returns the new prompts (N, D) for the default ones."""
        if self.config.fusion == "replace":
            return self.embeds
        w = self.weights()
        if self.config.fusion == "additive":
            return w * default + self.embeds
        return default + (1 - w) * (self.embeds - default)  # eq. 4, 6
