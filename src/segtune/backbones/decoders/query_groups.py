"""Who sees whom in the masked-attention decoder: groups of queries and tokens beside them.

Groups share all weights. A group that sees no other is computed by the very same operations on the
very same shapes as when it runs alone, so that its results are bit-identical.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segtune.backbones.decoders.layers import DecoderLayer
from segtune.backbones.decoders.mask_head import opened, resized


@dataclass(frozen=True)
class ExtraTokens:
    """Tokens that a group of queries sees in self-attention; they read no image themselves.

    Attributes:
        content: (G, T, D), carried through the layers; or one such tensor per level of the image,
            to which the tokens are set anew in every layer.
        position: same shape rules; added to content in queries and keys.
        padding: (G, T) bool, True where there is no token; None where all are real.
        see_queries: tokens also attend to the queries of their group, not only to each other.
    """

    content: Tensor | Sequence[Tensor]
    position: Tensor | Sequence[Tensor]
    padding: Tensor | None = None
    see_queries: bool = False

    @property
    def shape(self) -> torch.Size:
        """(G, T, D)."""
        return (self.content if isinstance(self.content, Tensor) else self.content[0]).shape

    def at_level(self, level: int, current: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns content and position in a layer, given the content that left the last one."""
        position = self.position if isinstance(self.position, Tensor) else self.position[level]
        if isinstance(self.content, Tensor):
            return (self.content if current is None else current), position
        return self.content[level], position


@dataclass(frozen=True)
class QueryGroup:
    """Queries that run through the decoder together.

    G is the number of runs: B images, or B * P for P separate runs per image, image by image.

    Attributes:
        content: (Q, D) shared by all runs, or (G, Q, D).
        position: same shape rules; added to content in queries and keys.
        tokens: further keys of the self-attention.
        sees: indices of other groups (one run per image, like this one) whose queries are further
            keys of the self-attention.
        blocked: (Q, Q) or (G, Q, Q) bool, True where a query does not see another of its group;
            every query must see at least one.
        regions: (G, Q, H, W), over the model input: queries look where this, resized to the level,
            is positive, in place of their own predicted masks.
    """

    content: Tensor
    position: Tensor
    tokens: ExtraTokens | None = None
    sees: tuple[int, ...] = ()
    blocked: Tensor | None = None
    regions: Tensor | None = None

    def runs(self, num_images: int) -> int:
        """Returns G."""
        if self.tokens is not None:
            return self.tokens.shape[0]
        for table in (self.content, self.position):
            if table.ndim == 3:
                return len(table)
        return num_images


def visibility(group: QueryGroup, runs: int, num_others: int) -> Tensor | None:
    """Returns who may attend to whom, (G or 1, 1, Q + T, Q + T + O) bool; None where all may.

    Args:
        group: Q queries and T tokens.
        runs: G.
        num_others: O, queries of other groups that this one sees.
    """
    if group.tokens is None and group.blocked is None:
        return None
    num_queries, device = group.content.shape[-2], group.content.device
    num_tokens = 0 if group.tokens is None else group.tokens.shape[1]
    own = num_queries + num_tokens
    is_open = torch.ones(runs, own, own + num_others, dtype=torch.bool, device=device)
    if group.blocked is not None:
        is_open[:, :num_queries, :num_queries] = ~group.blocked
    if group.tokens is not None:
        is_open[:, num_queries:, own:] = False
        if not group.tokens.see_queries:
            is_open[:, num_queries:, :num_queries] = False
        if group.tokens.padding is not None:
            is_open[:, :, num_queries:own] &= ~group.tokens.padding[:, None]
            # A padded token sees itself: nobody reads it, but it must not become NaN.
            itself = torch.eye(num_tokens, dtype=torch.bool, device=device)
            is_open[:, num_queries:, num_queries:own] |= itself
    return is_open[:, None]


class RunningGroup:
    """A query group on its way through the layers: states and places (G, Q, D)."""

    def __init__(self, group: QueryGroup, groups: Sequence[QueryGroup], num_images: int) -> None:
        runs = group.runs(num_images)
        self.group = group
        self.states = group.content.expand(runs, -1, -1)
        self.places = group.position.expand(runs, -1, -1)
        self.tokens: Tensor | None = None
        self.num_images = num_images
        self.looks: dict[int, Tensor] = {}  # of given regions, by level
        num_others = sum(groups[other].content.shape[-2] for other in group.sees)
        self.is_open = visibility(group, runs, num_others)

    def given_looks(self, level: int, size: tuple[int, int]) -> Tensor | None:
        """Returns where the group was told to look, (B, rows, S) bool; None where by its masks."""
        if self.group.regions is None:
            return None
        if level not in self.looks:
            outside = resized(self.group.regions, size) <= 0
            self.looks[level] = opened(per_image(~outside.flatten(2), self.num_images))
        return self.looks[level]

    def sequence(self, running: Sequence[RunningGroup], level: int) -> tuple[Tensor, Tensor]:
        """Returns content and places of all that the group sees: itself, its tokens, others."""
        parts = [(self.states, self.places)]
        if self.group.tokens is not None:
            parts.append(self.group.tokens.at_level(level, self.tokens))
        parts += [(running[other].states, running[other].places) for other in self.group.sees]
        if len(parts) == 1:
            return parts[0]
        content, places = zip(*parts, strict=True)
        return torch.cat(content, 1), torch.cat(places, 1)

    def update(self, layer: DecoderLayer, content: Tensor, places: Tensor) -> None:
        """Replaces the states by those after self-attention and FFN, and the tokens likewise."""
        num_queries, tokens = self.places.shape[1], self.group.tokens
        own = num_queries + (0 if tokens is None else tokens.shape[1])
        x = layer.among(content, places, own, self.is_open)
        self.states = x[:, :num_queries]
        if tokens is not None:
            self.tokens = x[:, num_queries:]


def per_image(x: Tensor, num_images: int) -> Tensor:
    """Returns (G, Q, ...) as (B, P * Q, ...): the rows of all runs of an image together."""
    return x if len(x) == num_images else x.reshape(num_images, -1, *x.shape[2:])
