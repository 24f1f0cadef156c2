"""Everything that SSPrompt and its baselines learn: modules that give query or class embeddings.

Spatial modules return content and position of the decoder's queries, (Q, D) each; semantic modules
return the class embeddings of the fit, (K, k). Both take the default ones of the frozen model.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from segtune.backbones.seem.model import Seem
from segtune.systems.ssprompt.config import SSPromptConfig
from segtune.systems.ssprompt.fusion import FusedEmbeddings
from segtune.systems.ssprompt.text_prompts import ContextPrompt, NamePrompt


class SpatialPrompt(nn.Module):
    """SpaPrompt: the query embeddings of the decoder, learned anew (equations 4 and 5).

    Args:
        num_queries, width: Q and D of the model's query tables.
    """

    def __init__(self, num_queries: int, width: int, config: SSPromptConfig) -> None:
        super().__init__()
        target = config.spatial_target
        self.content: FusedEmbeddings | None = None
        self.position: FusedEmbeddings | None = None
        if target in ("content", "both"):
            self.content = FusedEmbeddings(num_queries, width, config)
        if target in ("position", "both"):
            self.position = FusedEmbeddings(num_queries, width, config)

    def start(self, content: Tensor, position: Tensor, generator: torch.Generator) -> None:
        """Sets the learned embeddings for the default ones, (Q, D) each."""
        for part, default in ((self.content, content), (self.position, position)):
            if part is not None:
                part.start(default, generator)

    def forward(self, content: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the new content and position, (Q, D) each."""
        return (
            content if self.content is None else self.content(content),
            position if self.position is None else self.position(position),
        )


class SemanticPrompt(nn.Module):
    """SemPrompt: one class embedding per class of the fit (equations 6 and 7).

    Args:
        num_classes, width: K and k.
    """

    def __init__(self, num_classes: int, width: int, config: SSPromptConfig) -> None:
        super().__init__()
        self.renormalize = config.renormalize_text
        self.fused = FusedEmbeddings(num_classes, width, config)
        self.background = FusedEmbeddings(1, width, config) if config.learn_background else None

    def start(self, default: Tensor, background: Tensor, generator: torch.Generator) -> None:
        """Sets the learned embeddings for the default ones, (K, k) and (k,)."""
        self.fused.start(default, generator)
        if self.background is not None:
            self.background.start(background[None], generator)

    def forward(self, default: Tensor, background: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the new class embeddings (K, k) and the background (k,)."""
        embeds = self.fused(default)
        if self.background is not None:
            background = self.background(background[None])[0]
        if self.renormalize:
            embeds = nn.functional.normalize(embeds, dim=-1)
            background = nn.functional.normalize(background, dim=-1)
        return embeds, background


class PointGrid(nn.Module):
    """VSPL: the coordinates of point prompts, starting on a regular grid.

    Attributes:
        points: (N, 2), logits of (x, y) in 0..1 of the image.
    """

    def __init__(self, per_side: int) -> None:
        super().__init__()
        centres = (torch.arange(per_side) + 0.5) / per_side
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        self.points = nn.Parameter(torch.stack([x, y], -1).flatten(0, 1).logit())

    def forward(self) -> Tensor:
        """Returns (N, 2) points (x, y), 0..1 of the image."""
        return self.points.sigmoid()


class LearnedPrompts(nn.Module):
    """The learned part of a prompted SEEM: at most one spatial and one semantic module."""

    def __init__(self, config: SSPromptConfig, backbone: Seem) -> None:
        super().__init__()
        self.spatial: SpatialPrompt | PointGrid | None = None
        self.semantic: SemanticPrompt | ContextPrompt | NamePrompt | None = None
        if config.spatial == "embeddings":
            num_queries, width = backbone.default_content.shape
            self.spatial = SpatialPrompt(num_queries, width, config)
        elif config.spatial == "points":
            self.spatial = PointGrid(config.point_grid)
        if config.semantic == "embeddings":
            self.semantic = SemanticPrompt(len(config.classes), backbone.joint_width, config)
        elif config.semantic == "context":
            self.semantic = ContextPrompt(config, backbone)
        elif config.semantic == "names":
            self.semantic = NamePrompt(config, backbone)

    def rates(self, config: SSPromptConfig) -> list[tuple[nn.Module | None, float]]:
        """Returns the modules with the factors of their learning rates."""
        learns_embeddings = config.semantic == "embeddings"
        semantic = config.semantic_lr_factor if learns_embeddings else config.context_lr_factor
        return [(self.spatial, config.spatial_lr_factor), (self.semantic, semantic)]


def rate_groups(
    parts: Iterable[tuple[nn.Module | None, float]], lr: float, weight_decay: float
) -> list[dict[str, object]]:
    """Returns a parameter group for each module that is there, with its factor of the rate."""
    return [
        {"params": list(module.parameters()), "lr": lr * factor, "weight_decay": weight_decay}
        for module, factor in parts
        if module is not None
    ]
