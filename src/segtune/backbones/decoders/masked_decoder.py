"""The masked-attention decoder of SEEM, X-Decoder, Mask2Former and SegPrompt.

Cheng et al., CVPR 2022 (Mask2Former); Zou et al., CVPR 2023 (X-Decoder) and NeurIPS 2023 (SEEM).
Every layer is masked cross-attention, self-attention, FFN, each with a residual and a LayerNorm
after it; after every layer, and before the first, a head predicts masks, which limit the next
cross-attention. Use it in two steps: `prepare` once per image, then ask with any queries.

Left out: dropout (zero in all of them), captioning, and memory between rounds of clicks.

Shape letters: B images, G runs of a query group (`query_groups`), Q queries, S positions of a
level, D hidden width, M mask width, k joint image-text width, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.decoders.layers import DecoderLayer
from segtune.backbones.decoders.memory import DecoderMemory
from segtune.backbones.decoders.position import sine_positions
from segtune.backbones.decoders.query_groups import QueryGroup, visibility
from segtune.errors import SegtuneError

NORM_EPSILON = 1e-7


@dataclass(frozen=True)
class DecoderOutput:
    """The answers of one query group after a layer.

    Attributes:
        mask_logits: (B, Q, h, w), unbounded, over the model input, padding included; of P runs per
            image, the queries of all runs one after the other (P * Q).
        class_embeds: (B, Q, k), unit length; None for a decoder with fixed classes.
        class_logits: (B, Q, K + 1), unbounded, last column "no object"; None without text.
        mask_embeds: (B, Q, M), of which `mask_logits` are the products with the mask features.
        states: (B, Q, D), content of the queries before the last LayerNorm.
        aux: the answers before layer 0 and after each layer but the last; empty unless asked for.
    """

    mask_logits: Tensor
    class_embeds: Tensor | None
    class_logits: Tensor | None
    mask_embeds: Tensor
    states: Tensor
    aux: tuple[DecoderOutput, ...] = ()


class MaskedDecoder(nn.Module):
    """Turns queries and the maps of an image into class embeddings and masks.

    Attributes:
        query_content, query_position: (Q, D), the default queries. They are no input by
            themselves: `forward` takes the ones to ask with.
        logit_scale: (), logarithm of the factor between cosine similarities and class logits.

    Args:
        hidden: D.
        num_queries: Q of the default queries.
        num_layers: L; the level of layer i is i mod `num_levels`.
        joint_width: k.
        num_classes: K of a decoder with fixed classes (Mask2Former); None compares with text.
        in_channels: channels of the maps where they differ from `hidden` (Mask2Former).

    Example:
        >>> import torch
        >>> from segtune.backbones.decoders.masked_decoder import MaskedDecoder
        >>> decoder = MaskedDecoder(hidden=32, num_queries=5, num_layers=3, num_heads=4,
        ...                         feedforward=64, mask_dim=32, joint_width=16)
        >>> maps = [torch.randn(1, 32, side, side) for side in (2, 4, 8)]
        >>> memory = decoder.prepare(maps, torch.randn(1, 32, 16, 16))
        >>> output = decoder(memory, decoder.query_content, decoder.query_position)
        >>> output.mask_logits.shape, decoder.classify(output.class_embeds, torch.eye(16)).shape
        (torch.Size([1, 5, 16, 16]), torch.Size([1, 5, 16]))
    """

    def __init__(
        self,
        *,
        hidden: int = 512,
        num_queries: int = 101,
        num_layers: int = 9,
        num_heads: int = 8,
        feedforward: int = 2048,
        mask_dim: int = 512,
        joint_width: int = 512,
        num_classes: int | None = None,
        in_channels: int | None = None,
        num_levels: int = 3,
    ) -> None:
        super().__init__()
        if hidden % num_heads or hidden % 2:
            raise SegtuneError(
                f"hidden width {hidden} must be even and a multiple of the {num_heads} heads"
            )
        self.hidden, self.num_levels = hidden, num_levels
        self.query_content = nn.Parameter(torch.randn(num_queries, hidden))
        self.query_position = nn.Parameter(torch.randn(num_queries, hidden))
        self.level_embeds = nn.Parameter(torch.randn(num_levels, hidden))
        self.input_proj = nn.ModuleList(
            nn.Conv2d(in_channels, hidden, 1) if in_channels else nn.Identity()
            for _ in range(num_levels)
        )
        self.layers: Any = nn.ModuleList(
            DecoderLayer(hidden, num_heads, feedforward) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden)
        self.mask_mlp = nn.Sequential(
            *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()),
            nn.Linear(hidden, mask_dim),
        )
        self.class_linear = None if num_classes is None else nn.Linear(hidden, num_classes + 1)
        if num_classes is None:
            self.class_projection = nn.Parameter(torch.randn(hidden, joint_width) * hidden**-0.5)
            self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    # -- once per image ---------------------------------------------------------------------

    def prepare(
        self,
        multi_scale: Sequence[Tensor],
        mask_features: Tensor,
        *,
        keep_keys: bool = False,
        resize: Literal["first", "after"] = "first",
    ) -> DecoderMemory:
        """Returns everything that does not depend on queries.

        Args:
            multi_scale: coarse to fine, each (B, C, h, w), of the padded input.
            mask_features: (B, M, h, w).
            keep_keys: also project the keys and values of every layer. Saves about half of the
                work of a pass over the same images, for L * 2 * S * D numbers per image.
            resize: "first" resizes the mask features to every level; "after" resizes full masks
                in each pass, as published. Same result up to rounding.
        """
        if len(multi_scale) != self.num_levels:
            raise SegtuneError(f"{len(multi_scale)} maps given, expected {self.num_levels}")
        sources, sizes = [], []
        for level, (x, project) in enumerate(zip(multi_scale, self.input_proj, strict=True)):
            sizes.append((x.shape[-2], x.shape[-1]))
            sources.append(project(x).flatten(2).mT + self.level_embeds[level])  # (B, S, D)
        level_features: list[Tensor] = []
        if resize == "first":
            level_features = [_bilinear(mask_features, size) for size in sizes]
        memory = DecoderMemory(mask_features, tuple(sources), tuple(sizes), tuple(level_features))
        return self.with_keys(memory) if keep_keys else memory

    def with_keys(self, memory: DecoderMemory) -> DecoderMemory:
        """Returns the memory with the keys and values of every layer."""
        positions = self._positions(memory)
        pairs = [self._keys_values(memory, i, positions) for i in range(len(self.layers))]
        keys, values = zip(*pairs, strict=True)
        return replace(memory, keys=keys, values=values)

    def _positions(self, memory: DecoderMemory) -> list[Tensor]:
        """Returns the sine encoding of every level, (S, D) each."""
        source = memory.sources[0]
        return [
            sine_positions(h, w, self.hidden // 2, device=source.device, dtype=source.dtype)
            .flatten(1)
            .T
            for h, w in memory.sizes
        ]

    def _keys_values(
        self, memory: DecoderMemory, index: int, positions: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        if memory.keys:
            return memory.keys[index], memory.values[index]
        level = index % self.num_levels
        source = memory.sources[level]
        return self.layers[index].cross.keys_values(source + positions[level], source)

    # -- asking -----------------------------------------------------------------------------

    def forward(
        self,
        memory: DecoderMemory,
        content: Tensor,
        position: Tensor,
        *,
        text: Tensor | None = None,
        deep_supervision: bool = False,
    ) -> DecoderOutput:
        """Returns the answers of one group of queries that all see each other.

        Args:
            memory: of `prepare`.
            content, position: (Q, D) or (B, Q, D).
            text: (K + 1, k) or (B, K + 1, k) class embeddings, background last, used as they are.
            deep_supervision: also return the answers before the last layer, with gradients.
        """
        group = QueryGroup(content, position)
        return self.answer(memory, [group], text=text, deep_supervision=deep_supervision)[0]

    def answer(
        self,
        memory: DecoderMemory,
        groups: Sequence[QueryGroup],
        *,
        text: Tensor | None = None,
        deep_supervision: bool = False,
    ) -> list[DecoderOutput]:
        """Returns the answers of every group, in order; see `forward` and `QueryGroup`."""
        outputs = []
        for steps in self.run(memory, groups, keep_all=deep_supervision):
            *aux, last = [self.head(memory, states, text=text) for states in steps]
            outputs.append(replace(last, aux=tuple(aux)))
        return outputs

    def run(
        self, memory: DecoderMemory, groups: Sequence[QueryGroup], *, keep_all: bool = False
    ) -> list[list[Tensor]]:
        """Returns the states (G, Q, D) of every group: after the last layer, or after all.

        Args:
            keep_all: L + 1 states per group, the first before layer 0; otherwise one.
        """
        positions = [] if memory.keys else self._positions(memory)
        running = [_Running(group, groups, len(memory)) for group in groups]
        trace = [[part.states] for part in running]
        for index, layer in enumerate(self.layers):
            level = index % self.num_levels
            keys, values = self._keys_values(memory, index, positions)
            for part in running:
                looks = self._looks(memory, part.states, level, part.group.regions)
                rows, places = (_per_image(x, len(memory)) for x in (part.states, part.places))
                rows = layer.cross(rows, rows + places, keys, values, looks)
                part.states = rows.reshape(part.places.shape)
            seen = [part.sequence(running, level) for part in running]
            for part, steps, (content, places) in zip(running, trace, seen, strict=True):
                part.update(layer, content, places)
                steps.append(part.states)
        return trace if keep_all else [steps[-1:] for steps in trace]

    @torch.no_grad()
    def _looks(
        self, memory: DecoderMemory, states: Tensor, level: int, regions: Tensor | None
    ) -> Tensor:
        """Returns where queries may look on a level: (B, 1, rows, S) bool.

        A query looks inside its own mask; one whose mask is empty there looks everywhere.
        """
        size = memory.sizes[level]
        if regions is not None:
            blocked = _bilinear(regions, size) <= 0
        else:
            embeds = self.mask_embeds(_per_image(states, len(memory)))
            if memory.level_features:
                logits = _product(embeds, memory.level_features[level])
            else:
                logits = _bilinear(_product(embeds, memory.mask_features), size)
            blocked = logits.sigmoid() < 0.5
        blocked = _per_image(blocked.flatten(2), len(memory))
        blocked = blocked & ~blocked.all(-1, keepdim=True)
        return ~blocked[:, None]

    def mask_embeds(self, states: Tensor) -> Tensor:
        """Returns the mask embeddings (..., M) of queries with the given states (..., D)."""
        return self.mask_mlp(self.norm(states))

    def head(
        self, memory: DecoderMemory, states: Tensor, *, text: Tensor | None = None
    ) -> DecoderOutput:
        """Returns the answers of queries with the given states, (G, Q, D); see `forward`."""
        states = _per_image(states, len(memory))
        normed = self.norm(states)
        mask_embeds = self.mask_mlp(normed)  # (B, Q, M)
        mask_logits = _product(mask_embeds, memory.mask_features)
        if self.class_linear is not None:
            logits = self.class_linear(normed)
            return DecoderOutput(mask_logits, None, logits, mask_embeds, states)
        embeds = normed @ self.class_projection
        embeds = embeds / (embeds.norm(dim=-1, keepdim=True) + NORM_EPSILON)
        class_logits = None if text is None else self.classify(embeds, text)
        return DecoderOutput(mask_logits, embeds, class_logits, mask_embeds, states)

    def classify(self, class_embeds: Tensor, text: Tensor) -> Tensor:
        """Returns class logits (B, Q, K + 1): exp(logit_scale) times the inner products.

        Args:
            class_embeds: (B, Q, k) of a `DecoderOutput`.
            text: (K + 1, k) or (B, K + 1, k), background last; not normalised here.
        """
        return self.logit_scale.exp() * class_embeds @ text.mT


class _Running:
    """A query group on its way through the layers: states and places (G, Q, D)."""

    def __init__(self, group: QueryGroup, groups: Sequence[QueryGroup], num_images: int) -> None:
        runs = group.runs(num_images)
        self.group = group
        self.states = group.content.expand(runs, -1, -1)
        self.places = group.position.expand(runs, -1, -1)
        self.tokens: Tensor | None = None
        num_others = sum(groups[other].content.shape[-2] for other in group.sees)
        self.is_open = visibility(group, runs, num_others)

    def sequence(self, running: Sequence[_Running], level: int) -> tuple[Tensor, Tensor]:
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


def _product(embeds: Tensor, features: Tensor) -> Tensor:
    """Returns mask logits (B, Q, h, w) of mask embeddings (B, Q, M) and features (B, M, h, w)."""
    return (embeds @ features.flatten(2)).unflatten(2, features.shape[-2:])


def _bilinear(maps: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(maps.shape[-2:]) == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def _per_image(x: Tensor, num_images: int) -> Tensor:
    """Returns (G, Q, ...) as (B, P * Q, ...): the rows of all runs of an image together."""
    return x if len(x) == num_images else x.reshape(num_images, -1, *x.shape[2:])
