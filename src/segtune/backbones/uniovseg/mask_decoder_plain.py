"""The mask decoder word by word as published: slow, and the measure of `MaskDecoder.forward`.

Masks at full size after every layer, resized for the next one; projections of the maps in every
layer; a mask for every head and token.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.backbones.uniovseg.mask_decoder import MaskDecoder
from segtune.backbones.uniovseg.prompt_encoder import PromptTokens


def decode_plainly(
    decoder: MaskDecoder, prompts: PromptTokens, levels: Sequence[Tensor], mask_features: Tensor
) -> tuple[list[tuple[Tensor, Tensor]], list[Tensor]]:
    """Returns masks and qualities of all layers, and what was closed to each.

    Args:
        levels, mask_features: as in `MaskDecoder.remember`.

    Returns:
        (B, P, K, h, w) mask logits and (B, P, K) IoUs, L + 1 times; and (B, P, S) bool for each
        layer, True where a prompt may not look, before empty masks are opened.
    """
    placed, plain = decoder.sources(levels)
    places = prompts.tokens.flatten(0, 1)
    num_images, num_prompts, num_tokens = prompts.tokens.shape[:3]
    x = decoder.mix_tokens(places)
    found, closed = [_heads(decoder, x, prompts, mask_features)], []
    for index, layer in enumerate(decoder.layers):
        level = index % decoder.num_levels
        blocked = _blocked(found[-1][0], levels[level])  # (B, P, S)
        closed.append(blocked)
        blocked = blocked & ~blocked.all(-1, keepdim=True)
        num_heads = layer.cross.num_heads
        mask = blocked[:, None, :, None].repeat(1, num_heads, 1, num_tokens, 1).flatten(2, 3)
        keys, values = layer.cross.keys_values(placed[level], plain[level])
        rows = (num_images, num_prompts * num_tokens, x.shape[-1])
        x = layer.cross(x.reshape(rows), (x + places).reshape(rows), keys, values, ~mask)
        x = x.view(places.shape)
        own_keys, own_values = layer.self_attention.keys_values(x + places, x)
        x = layer.self_attention(x, x + places, own_keys, own_values, None)
        x = layer.feedforward(x)
        found.append(_heads(decoder, x, prompts, mask_features))
    return found, closed


def _heads(
    decoder: MaskDecoder, x: Tensor, prompts: PromptTokens, mask_features: Tensor
) -> tuple[Tensor, Tensor]:
    masks = decoder.norm(x)[:, prompts.num_corners :]
    embeds = torch.stack([decoder.mask_mlps[s](masks[:, s]) for s in prompts.slots], 1)
    ious = torch.cat([decoder.iou_mlps[s](masks[:, s]) for s in prompts.slots], 1)
    size = prompts.tokens.shape[:2]
    embeds, ious = embeds.unflatten(0, size), ious.sigmoid().unflatten(0, size)
    return torch.einsum("bpkd,bdhw->bpkhw", embeds, decoder.features(mask_features)), ious


def _blocked(mask_logits: Tensor, level: Tensor) -> Tensor:
    """Returns (B, P, S) bool: below one half in every mask of the prompt, at a level's size."""
    size = level.shape[-2:]
    small = F.interpolate(mask_logits.flatten(1, 2), size, mode="bilinear", align_corners=False)
    return (small.sigmoid() < 0.5).unflatten(1, mask_logits.shape[1:3]).all(2).flatten(2)
