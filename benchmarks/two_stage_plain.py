"""The second stage of OVSeg as its published code computes it, written out; what is left plain:

regions are cut, painted and resized one at a time; all tokens of all regions go through all blocks
of CLIP, in one batch; sentences are filled up to 77 tokens; the scores of all K classes are formed
at full size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from segtune.backbones.clip.masked import region_embeds
from segtune.backbones.clip.model import ClipVit
from segtune.backbones.two_stage.model import TwoStage
from segtune.types import Geometry

CONTEXT = 77
"""Tokens of every sentence, whatever its length."""


def plain_masks(mask_logits: Tensor, geometry: Geometry) -> Tensor:
    """Returns mask probabilities (Q, h, w) at the resized image."""
    height, width = geometry.resized_size
    logits = F.interpolate(
        mask_logits[None], geometry.input_size, mode="bilinear", align_corners=False
    )
    return logits[0, :, :height, :width].sigmoid()


def plain_regions(
    image: Tensor, probs: Tensor, *, threshold: float, size: int, clip: ClipVit
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns regions (R, 3, S, S), their masks (R, S, S) and which masks have one, (Q,) bool."""
    mean, std = clip.normalisation.tensors(torch.zeros(()))
    regions, masks, valid = [], [], []
    for mask_probs in probs:
        mask = mask_probs > threshold
        valid.append(bool(mask.any()))
        if not valid[-1]:
            continue
        ys, xs = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        rows, columns = slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1)
        inside = mask[rows, columns].float()
        region = image[:, rows, columns] * inside + mean * (1 - inside)
        region = (region - mean) / std
        square = (size, size)
        regions.append(F.interpolate(region[None], square, mode="bicubic", align_corners=False)[0])
        masks.append(F.interpolate(inside[None, None], square, mode="nearest")[0, 0])
    return torch.stack(regions), torch.stack(masks), torch.tensor(valid)


def plain_embeds(clip: ClipVit, regions: Tensor, masks: Tensor, prompts: Tensor) -> Tensor:
    """Returns the embeddings (R, k) of regions."""
    return region_embeds(clip, regions, masks, prompts, path="plain", at_once=len(regions))


def plain_text(clip: ClipVit, sentences: Sequence[Sequence[str]]) -> Tensor:
    """Returns class embeddings (K, k) of the sentences of every class."""
    rows = []
    for group in sentences:
        tokens = clip.tokenize(group)
        end = tokens[0, -1].item()
        tokens = F.pad(tokens, (0, CONTEXT - tokens.shape[1]), value=end)
        embeds = F.normalize(clip.encode_text(tokens), dim=-1)
        rows.append(F.normalize(embeds.mean(0), dim=-1))
    return torch.stack(rows)


def plain_scores(
    pair: TwoStage, query_embeds: Tensor, embeds: Tensor, valid: Tensor, text: Tensor, weight: float
) -> Tensor:
    """Returns fused class scores (Q, K)."""
    queries = pair.proposals.class_logits(query_embeds, text).softmax(-1)[:, :-1]
    regions = torch.ones_like(queries)
    regions[valid] = (100 * embeds @ text.T).softmax(-1)
    return queries ** (1 - weight) * regions**weight


def plain_labels(scores: Tensor, probs: Tensor, geometry: Geometry) -> Tensor:
    """Returns the label map (H, W) by way of all K score maps at the original size."""
    maps = torch.einsum("qk,qhw->khw", scores, probs)
    size = geometry.original_size
    maps = F.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]
    return maps.argmax(0)


def plain_image(
    pair: TwoStage,
    pixels: Tensor,
    text: Tensor,
    prompts: Tensor,
    geometry: Geometry,
    *,
    threshold: float,
    weight: float,
) -> Tensor:
    """Returns the label map (H, W) of padded pixels (1, 3, H, W), 0..255."""
    found = pair.proposals.propose(pixels)
    assert found.query_embeds is not None
    probs = plain_masks(found.mask_logits[0], geometry)
    height, width = geometry.resized_size
    regions, masks, valid = plain_regions(
        pixels[0, :, :height, :width],
        probs,
        threshold=threshold,
        size=pair.clip.image_size,
        clip=pair.clip,
    )
    embeds = plain_embeds(pair.clip, regions, masks, prompts)
    scores = plain_scores(pair, found.query_embeds[0], embeds, valid, text, weight)
    return plain_labels(scores, probs, geometry)
