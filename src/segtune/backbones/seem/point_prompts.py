"""Point prompts of SEEM: clicks become tokens that copies of the object queries attend to.

Zou et al., NeurIPS 2023; image-dependent, unlike the points of SAM: a token is the image feature
under the click. Left out: memory between rounds of clicks, whose tables are only carried along.

Shape letters: B images, P prompts per image, T points per prompt, D hidden width, M mask width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.decoders.mask_head import DecoderOutput
from segtune.backbones.decoders.masked_decoder import MaskedDecoder
from segtune.backbones.decoders.memory import DecoderMemory
from segtune.backbones.decoders.query_groups import ExtraTokens, QueryGroup
from segtune.errors import SegtuneError

MAX_POINTS = 512
POSITIVE, NEGATIVE, PADDING = 1, 0, -1
"""Labels of points, as in SAM."""


class PointPrompts(nn.Module):
    """Samples tokens and the feature to look for at the points of every prompt.

    Attributes:
        level_projections: per level (D, D), applied as features @ projection.
        signs: (2, D), added to positive (row 0) and negative (row 1) points.
        slot_content, slot_position: (S, D), memory between rounds; unused here.

    Example:
        >>> import torch
        >>> points, labels = boxes_to_points(torch.tensor([[[0.0, 0.0, 0.5, 1.0]]]), per_side=2)
        >>> points[0, 0].tolist(), labels.tolist()
        ([[0.125, 0.25], [0.375, 0.25], [0.125, 0.75], [0.375, 0.75]], [[[1, 1, 1, 1]]])
    """

    def __init__(self, hidden: int = 512, *, num_levels: int = 3, num_slots: int = 32) -> None:
        super().__init__()
        self.level_projections = nn.ParameterList(
            torch.randn(hidden, hidden) * hidden**-0.5 for _ in range(num_levels)
        )
        self.signs = nn.Parameter(torch.randn(2, hidden))
        self.slot_content = nn.Parameter(torch.randn(num_slots, hidden))
        self.slot_position = nn.Parameter(torch.randn(num_slots, hidden))

    def tokens(
        self,
        memory: DecoderMemory,
        points_norm: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> ExtraTokens:
        """Returns the tokens of B * P prompts, set anew in every layer to the layer's level.

        Args:
            memory: of B images.
            points_norm: (B, P, T, 2) points (x, y), 0..1 of the model input, padding included:
                column / width and row / height. Gradients reach them.
            labels: (B, P, T) int64: 1 positive, 0 negative, -1 no point.
            generator: draws the points that are kept where a prompt has more than `MAX_POINTS`.
        """
        check_points(memory, points_norm, labels)
        if labels.shape[-1] > MAX_POINTS:
            order = torch.randperm(labels.shape[-1], generator=generator)[:MAX_POINTS]
            order = order.sort().values.to(labels.device)
            points_norm, labels = points_norm[:, :, order], labels[:, :, order]
        signs = self.signs[(labels == NEGATIVE).long()]  # (B, P, T, D)
        content = []
        levels = zip(memory.sources, memory.sizes, self.level_projections, strict=True)
        for source, size, projection in levels:
            # Sampling and projecting commute; a few points are cheaper than a whole map.
            sampled = sample(source.mT.unflatten(2, size), points_norm)  # (B, P, T, D)
            content.append((sampled @ projection + signs).flatten(0, 1))
        padding = (labels == PADDING).flatten(0, 1)
        return ExtraTokens(content, [tokens.detach() for tokens in content], padding)


def answer_points(
    decoder: MaskedDecoder,
    prompts: PointPrompts,
    memory: DecoderMemory,
    queries: QueryGroup,
    points_norm: Tensor,
    labels: Tensor | None = None,
    *,
    text: Tensor | None = None,
    num_copies: int | None = None,
    generator: torch.Generator | None = None,
) -> DecoderOutput:
    """Returns one answer per prompt: the query copy that fits its positive points best.

    Prompts see neither each other nor the object queries. Gradients reach the points, through what
    is sampled there.

    Args:
        memory: of B images.
        queries: the object queries, (Q, D) each, that are copied.
        points_norm: (B, P, T, 2), see `PointPrompts.tokens`.
        labels: (B, P, T) int64; None is all positive.
        text: (K + 1, k) class embeddings, for class logits.
        num_copies: copies of random queries per prompt; None takes a copy of each, as in SEEM v0.
            SEEM v1 takes 3, which is far cheaper for many prompts.
        generator: of the random choices; None draws the same ones every time.

    Returns:
        Answers with Q = P.
    """
    if labels is None:
        labels = torch.full(points_norm.shape[:-1], POSITIVE, device=points_norm.device)
    generator = generator or torch.Generator().manual_seed(0)
    tokens = prompts.tokens(memory, points_norm, labels, generator=generator)
    content, position = queries.content, queries.position
    runs = tokens.shape[0]  # B * P
    if num_copies is not None and num_copies < len(content):
        # The same draws for every image, so that batching changes nothing.
        order = torch.rand(runs // len(memory), len(content), generator=generator)
        draws = order.argsort(1)[:, :num_copies].repeat(len(memory), 1).to(content.device)
        content, position = content[draws], position[draws]  # (B * P, copies, D)
    states = decoder.run(memory, [QueryGroup(content, position, tokens)])[0][-1]
    wanted = wanted_features(memory, points_norm, labels).flatten(0, 1)  # (B * P, M)
    fit = decoder.mask_embeds(states) @ wanted[..., None]  # (B * P, copies, 1)
    best = fit[..., 0].argmax(1)
    chosen = states[torch.arange(runs, device=best.device), best]
    return decoder.head(memory, chosen.unflatten(0, points_norm.shape[:2]), text=text)


def wanted_features(memory: DecoderMemory, points_norm: Tensor, labels: Tensor) -> Tensor:
    """Returns the mean mask feature at the positive points of every prompt, (B, P, M)."""
    sampled = sample(memory.mask_features, points_norm)  # (B, P, T, M)
    weight = (labels == POSITIVE).to(sampled)[..., None]
    return (sampled * weight).sum(2) / weight.sum(2).clamp(min=1)


def sample(maps: Tensor, points_norm: Tensor) -> Tensor:
    """Returns bilinear samples (B, P, T, C) of maps (B, C, h, w) at points (B, P, T, 2).

    0 and 1 are the centres of the first and last cell (align_corners=True), although points count
    pixel corners: the published model is trained so.
    """
    sampled = F.grid_sample(maps, 2 * points_norm.to(maps) - 1, align_corners=True)
    return sampled.permute(0, 2, 3, 1)


def boxes_to_points(
    boxes_norm: Tensor, *, per_side: int = 8, share: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Returns a regular grid of positive points in every box: points and labels.

    SEEM has no box input of its own; it takes the pixels of a box as one set of positive points.
    The corners of a box rarely belong to its object, so a smaller part may answer better.

    Args:
        boxes_norm: (B, P, 4) xyxy, 0..1 of the model input.
        per_side: at most 22, because a prompt keeps 512 points.
        share: of the width and the height of the box that the grid covers, around its centre.

    Returns:
        (B, P, per_side ** 2, 2) and (B, P, per_side ** 2) int64.
    """
    steps = (torch.arange(per_side, device=boxes_norm.device) + 0.5) / per_side
    steps = 0.5 + share * (steps - 0.5)
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    grid = torch.stack([x, y], -1).flatten(0, 1).to(boxes_norm)  # (T, 2)
    corner, size = boxes_norm[..., None, :2], boxes_norm[..., 2:] - boxes_norm[..., :2]
    points = corner + grid * size[..., None, :]
    return points, torch.full(points.shape[:-1], POSITIVE, device=points.device)


def check_points(memory: DecoderMemory, points_norm: Tensor, labels: Tensor) -> None:
    """Raises where points and labels do not fit the images, or a prompt has no positive point."""
    if points_norm.ndim != 4 or points_norm.shape[-1] != 2 or len(points_norm) != len(memory):
        raise SegtuneError(
            f"points are {tuple(points_norm.shape)}, expected ({len(memory)}, P, T, 2): images, "
            "prompts, points, (x, y)"
        )
    if labels.shape != points_norm.shape[:-1]:
        raise SegtuneError(
            f"labels are {tuple(labels.shape)}, expected {tuple(points_norm.shape[:-1])}, one per "
            "point: 1 positive, 0 negative, -1 no point"
        )
    if not bool((labels == POSITIVE).any(-1).all()):
        raise SegtuneError("a prompt has no positive point; give at least one with label 1")
