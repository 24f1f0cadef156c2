"""Uni-OVSeg's mask decoder: prompts that never see each other read an image and answer with masks.

Per layer: masked cross-attention to one map of the pixel decoder, attention among the tokens of one
prompt, FFN; then the heads, whose masks say where the prompt may look next. Computed as follows,
all of it equal to the published formulation (`mask_decoder_plain`) up to rounding:

* Resizing commutes with the product of embeddings and mask features. The features are made small
  once per image, and the masks that only guide attention are formed there.
* The 1 x 1 convolution over the mask features is folded into the embeddings:
  e (W f + b) = (e W) f + e b.
* Keys and values of the maps are projected once per image, not once per chunk of prompts.
* A mask opens where any mask of its prompt has a logit of 0 or more: no sigmoid, one row per
  prompt, the same for all tokens and heads.
* Masks at full size are formed on demand, for those that are wanted.

Shape letters: B images, P prompts, T tokens of a prompt, K masks of a prompt, D width, S positions
of a map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segtune.backbones.decoders.layers import DecoderLayer, MultiHeadAttention
from segtune.backbones.decoders.position import FourierPositions, SinePositions
from segtune.backbones.uniovseg.prompt_encoder import NUM_GRANULARITIES, PromptTokens


@dataclass(frozen=True)
class MaskMemory:
    """What prompts read of a batch of images, computed once.

    Attributes:
        mask_features: (B, D, h, w) over the padded input, usually at a quarter of it.
        small: the same at the size of each level, (B, D, h, w), coarse to fine.
        keys, values: of each layer, (B, heads, S, D / heads).
    """

    mask_features: Tensor
    small: tuple[Tensor, ...]
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]


@dataclass(frozen=True)
class MaskAnswers:
    """What prompts answer after one layer; masks are formed by `logits`.

    Attributes:
        embeds: (B, P, K, D), to be multiplied with mask features.
        offsets: (B, P, K), added to the products.
        ious: (B, P, K), 0..1, how good the decoder takes each mask to be.
    """

    embeds: Tensor
    offsets: Tensor
    ious: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Returns the masks (B, P, K, h, w), unbounded, at the size of features (B, D, h, w)."""
        products = torch.einsum("bpkd,bdhw->bpkhw", self.embeds, features)
        return products + self.offsets[..., None, None]

    def chosen(self, features: Tensor, image: int, ids: Tensor) -> Tensor:
        """Returns some masks of one image, (N, h, w), by their number among P * K."""
        embeds, offsets = self.embeds[image].flatten(0, 1)[ids], self.offsets[image].flatten()[ids]
        return (embeds @ features[image].flatten(1)).unflatten(1, features.shape[2:]) + offsets[
            :, None, None
        ]


class MaskDecoder(nn.Module):
    """Answers prompts with masks; see the module docstring.

    Args:
        width: D, also the channels of the mask features.
        num_heads, feedforward, num_layers: of the transformer; 9 layers in the released model.
        num_levels: maps that are read in turn.
        in_channels: of the maps where they are not D wide and have to be projected; None where
            they are.
        positions: encoding of positions in a map; None draws Fourier features.
        num_granularities: masks per point.
    """

    def __init__(
        self,
        width: int = 256,
        *,
        num_heads: int = 8,
        feedforward: int = 2048,
        num_layers: int = 9,
        num_levels: int = 3,
        in_channels: int | None = None,
        positions: SinePositions | FourierPositions | None = None,
        num_granularities: int = NUM_GRANULARITIES,
    ) -> None:
        super().__init__()
        self.num_levels = num_levels
        self.positions = positions or FourierPositions(width)
        self.inputs = nn.ModuleList(
            nn.Identity() if in_channels is None else nn.Conv2d(in_channels, width, 1)
            for _ in range(num_levels)
        )
        self.level_embeds = nn.Parameter(torch.randn(num_levels, width))
        self.among_tokens = MultiHeadAttention(width, num_heads)
        self.layers: Any = nn.ModuleList(
            DecoderLayer(width, num_heads, feedforward) for _ in range(num_layers)
        )
        self.features = nn.Conv2d(width, width, 1)
        self.norm = nn.LayerNorm(width)
        slots = range(1 + num_granularities)
        self.mask_mlps = nn.ModuleList(_mlp(width, width) for _ in slots)
        self.iou_mlps = nn.ModuleList(_mlp(width, 1) for _ in slots)

    def remember(self, levels: Sequence[Tensor], mask_features: Tensor) -> MaskMemory:
        """Returns what every prompt on these images will read.

        Args:
            levels: maps of the pixel decoder, (B, D, h, w), coarse to fine.
            mask_features: (B, D, h, w).
        """
        placed, plain = self.sources(levels)
        keys, values = [], []
        for index, layer in enumerate(self.layers):
            level = index % self.num_levels
            key, value = layer.cross.keys_values(placed[level], plain[level])
            keys.append(key)
            values.append(value)
        small = tuple(
            F.interpolate(mask_features, level.shape[-2:], mode="bilinear", align_corners=False)
            for level in levels
        )
        return MaskMemory(mask_features, small, tuple(keys), tuple(values))

    def sources(self, levels: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Returns the maps as sequences (B, S, D), with and without positions."""
        placed, plain = [], []
        for project, x, embed in zip(self.inputs, levels, self.level_embeds, strict=True):
            source = project(x).flatten(2).mT + embed
            places = self.positions(source, (x.shape[-2], x.shape[-1])).flatten(1).T
            plain.append(source)
            placed.append(source + places)
        return placed, plain

    def forward(
        self, prompts: PromptTokens, memory: MaskMemory, *, every_layer: bool = False
    ) -> list[MaskAnswers]:
        """Returns the answers after the last layer, or after every one.

        Args:
            prompts: of the images in `memory`.
            every_layer: also the answers before the first layer and in between, L + 1 in all.
        """
        places = prompts.tokens.flatten(0, 1)  # (B P, T, D)
        x = self.mix_tokens(places)
        answers = [self.heads(x, prompts)]
        for index, layer in enumerate(self.layers):
            is_open = self.opened(answers[-1].logits(memory.small[index % self.num_levels]))
            x = _look(layer, x, places, memory.keys[index], memory.values[index], is_open)
            x = layer.among(x, places, x.shape[1], None)
            answers.append(self.heads(x, prompts))
            if not every_layer:
                del answers[0]
        return answers

    def mix_tokens(self, tokens: Tensor) -> Tensor:
        """Returns (B P, T, D): tokens after they have seen the others of their prompt."""
        keys, values = self.among_tokens.keys_values(tokens, tokens)
        return self.among_tokens(tokens, tokens, keys, values, None)

    def heads(self, x: Tensor, prompts: PromptTokens) -> MaskAnswers:
        """Returns what tokens (B P, T, D) answer."""
        masks = self.norm(x)[:, prompts.num_corners :]
        rows = [masks[:, slot] for slot in prompts.slots]
        mask_mlps = [self.mask_mlps[slot] for slot in prompts.slots]
        iou_mlps = [self.iou_mlps[slot] for slot in prompts.slots]
        embeds = torch.stack([mlp(row) for mlp, row in zip(mask_mlps, rows, strict=True)], 1)
        ious = torch.cat([mlp(row) for mlp, row in zip(iou_mlps, rows, strict=True)], 1)
        size = prompts.tokens.shape[:2]
        bias: Any = self.features.bias
        return MaskAnswers(
            (embeds @ self.features.weight[:, :, 0, 0]).unflatten(0, size),
            (embeds @ bias).unflatten(0, size),
            ious.sigmoid().unflatten(0, size),
        )

    @staticmethod
    @torch.no_grad()
    def opened(mask_logits: Tensor) -> Tensor:
        """Returns where each prompt may look, (B, P, S) bool; everywhere where all is closed.

        Args:
            mask_logits: (B, P, K, h, w).
        """
        is_open = (mask_logits >= 0).any(2).flatten(2)
        return is_open | ~is_open.any(-1, keepdim=True)


def _look(
    layer: DecoderLayer, x: Tensor, places: Tensor, keys: Tensor, values: Tensor, is_open: Tensor
) -> Tensor:
    """Masked cross-attention of a layer; x, places and result: (B P, T, D)."""
    num_images, num_prompts = is_open.shape[:2]
    tokens, width = x.shape[1:]
    rows = (num_images, num_prompts * tokens, width)
    mask = is_open[:, None, :, None].expand(-1, -1, -1, tokens, -1).flatten(2, 3)
    found = layer.cross(x.reshape(rows), (x + places).reshape(rows), keys, values, mask)
    return found.view(x.shape)


def _mlp(width: int, out: int) -> nn.Sequential:
    """Three linear layers with ReLUs between them."""
    return nn.Sequential(
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, out),
    )
