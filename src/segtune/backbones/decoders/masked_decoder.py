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
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from segtune.backbones.decoders.layers import DecoderLayer
from segtune.backbones.decoders.mask_head import (
    DecoderOutput,
    inside_masks,
    mask_products,
    mlp,
    resized,
)
from segtune.backbones.decoders.memory import DecoderMemory
from segtune.backbones.decoders.position import FourierPositions, SinePositions
from segtune.backbones.decoders.query_groups import QueryGroup, RunningGroup, per_image
from segtune.errors import SegtuneError

NORM_EPSILON = 1e-7


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
        positions: encoding of positions; None takes `SinePositions(hidden)`.

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
        positions: SinePositions | FourierPositions | None = None,
    ) -> None:
        super().__init__()
        if hidden % num_heads or hidden % 2:
            raise SegtuneError(
                f"hidden width {hidden} must be even and a multiple of the {num_heads} heads"
            )
        self.num_levels = num_levels
        self.positions = positions or SinePositions(hidden)
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
        self.mask_mlp = mlp(hidden, hidden, hidden, mask_dim)
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
            level_features = [resized(mask_features, size) for size in sizes]
        memory = DecoderMemory(mask_features, tuple(sources), tuple(sizes), tuple(level_features))
        return self.with_keys(memory) if keep_keys else memory

    def with_keys(self, memory: DecoderMemory) -> DecoderMemory:
        """Returns the memory with the keys and values of every layer."""
        positions = self._positions(memory)
        pairs = [self._keys_values(memory, i, positions) for i in range(len(self.layers))]
        keys, values = zip(*pairs, strict=True)
        return replace(memory, keys=keys, values=values)

    def _positions(self, memory: DecoderMemory) -> list[Tensor]:
        """Returns the encoding of every level, (S, D) each."""
        return [self.positions(memory.sources[0], size).flatten(1).T for size in memory.sizes]

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
        running = [RunningGroup(group, groups, len(memory)) for group in groups]
        trace = [[part.states] for part in running]
        for index, layer in enumerate(self.layers):
            level = index % self.num_levels
            keys, values = self._keys_values(memory, index, positions)
            for part in running:
                looks = part.given_looks(level, memory.sizes[level])
                if looks is None:
                    looks = self._looks(memory, part.states, level)
                rows, places = (per_image(x, len(memory)) for x in (part.states, part.places))
                rows = layer.cross(rows, rows + places, keys, values, looks[:, None])
                part.states = rows.reshape(part.places.shape)
            seen = [part.sequence(running, level) for part in running]
            for part, steps, (content, places) in zip(running, trace, seen, strict=True):
                part.update(layer, content, places)
                steps.append(part.states)
        return trace if keep_all else [steps[-1:] for steps in trace]

    @torch.no_grad()
    def _looks(self, memory: DecoderMemory, states: Tensor, level: int) -> Tensor:
        """Returns where queries may look on a level, (B, rows, S) bool: inside their own masks."""
        embeds = self.mask_embeds(per_image(states, len(memory)))
        if memory.level_features:
            return inside_masks(mask_products(embeds, memory.level_features[level]))
        logits = mask_products(embeds, memory.mask_features)
        return inside_masks(resized(logits, memory.sizes[level]))

    def mask_embeds(self, states: Tensor) -> Tensor:
        """Returns the mask embeddings (..., M) of queries with the given states (..., D)."""
        return self.mask_mlp(self.norm(states))

    def classes_and_embeds(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Returns class logits (..., K + 1) and mask embeddings (..., M) of states (..., D).

        For decoders with fixed classes.
        """
        if self.class_linear is None:
            raise SegtuneError("this decoder compares with words; use head(..., text=...)")
        normed = self.norm(states)
        return self.class_linear(normed), self.mask_mlp(normed)

    def head(
        self, memory: DecoderMemory, states: Tensor, *, text: Tensor | None = None
    ) -> DecoderOutput:
        """Returns the answers of queries with the given states, (G, Q, D); see `forward`."""
        states = per_image(states, len(memory))
        if self.class_linear is not None:
            logits, mask_embeds = self.classes_and_embeds(states)
            mask_logits = mask_products(mask_embeds, memory.mask_features)
            return DecoderOutput(mask_logits, None, logits, mask_embeds, states)
        normed = self.norm(states)
        mask_embeds = self.mask_mlp(normed)  # (B, Q, M)
        mask_logits = mask_products(mask_embeds, memory.mask_features)
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
