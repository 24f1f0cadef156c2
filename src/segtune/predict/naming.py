"""Names for masks that come from elsewhere: CLIP says what every mask shows.

A CLIP ViT looks at every mask cut out, as in the second stage of OVSeg; a ConvNeXt looks at the
image once, and the mean of its features inside a mask is named, as in FC-CLIP.
`Segmenter.classify_masks` is the way in. Masks may
overlap, and are returned as they were given.

Shape letters: N masks, K classes, H W the original image.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from segtune.backbones.base import FrozenModel, PoolsRegions
from segtune.backbones.clip.masked import NamesRegions, check_prompts, region_embeds
from segtune.backbones.clip.model import ClipVit
from segtune.data.masks_in import Empty, MasksLike, read_masks, without_empty
from segtune.errors import SegtuneError
from segtune.ops.regions.cut import cut_regions
from segtune.ops.regions.recipes import RegionConfig
from segtune.ops.resize import resized
from segtune.ops.segments import crop_segment
from segtune.predict.look import painted
from segtune.prompts import Prompts
from segtune.systems.base import Words
from segtune.types import Sample, Segmentation, Vocabulary

DEFAULT_CLIP = "clip-vit-tiny"
"""The bundled model that names masks."""
LARGEST_SIDE = 640
"""Images whose shorter side is longer are looked at in this size, as OVSeg looks at all."""
MASK_PROMPTS = "mask_prompts"
"""Name of the (D, N, d) tensor in prompt files of the system `ovseg`."""
PIXELS_AT_ONCE = 2**25
"""Pixels of masks that are cut together."""


def clip_of(backbone: FrozenModel) -> ClipVit:
    """Returns the CLIP of a model that can name masks.

    Raises:
        SegtuneError: the model has none.
    """
    if not isinstance(backbone, NamesRegions):
        raise SegtuneError(
            f"{backbone.name} has no CLIP that looks at regions; name masks with --model "
            f"{DEFAULT_CLIP}, another CLIP, a two-stage model or a Uni-OVSeg"
        )
    return backbone.region_clip


def mask_prompts_of(backbone: FrozenModel, prompts: Prompts | None) -> Tensor | None:
    """Returns the mask prompts of a prompt file, else those that came with the weights.

    Raises:
        SegtuneError, WeightsError: the file is of another system or model.
    """
    if prompts is None and isinstance(backbone, PoolsRegions):
        return None
    clip = clip_of(backbone)
    if prompts is None:
        return clip.mask_prompts
    if MASK_PROMPTS not in prompts.tensors:
        raise SegtuneError(
            f"prompts of {prompts.system} do not help to name masks; use prompts of ovseg with "
            "mask prompts, or leave them out"
        )
    prompts.check_model(clip.name, clip.fingerprint)
    tensor = prompts.tensors[MASK_PROMPTS].to(clip.device)
    check_prompts(clip, tensor)
    return tensor


def classify(
    backbone: FrozenModel,
    sample: Sample,
    masks: MasksLike,
    vocabulary: Vocabulary,
    words: Words,
    *,
    mask_prompts: Tensor | None,
    config: RegionConfig,
    empty: Empty,
    top: int,
) -> Segmentation:
    """Returns one segment per mask; arguments as in `Segmenter.classify_masks`.

    Scores are probabilities over all words, negatives included; negatives are no answer.

    Args:
        words: of `vocabulary`, in the space of the CLIP of `backbone`.
        mask_prompts: (D, N, d), for a CLIP that looks at regions, or None.
        config: how regions are cut, for such a CLIP.
    """
    pixels = sample.pixels()
    size = (pixels.shape[0], pixels.shape[1])
    file = sample.image if isinstance(sample.image, Path) else None
    kept, places = without_empty(read_masks(masks, size, image=file), empty)
    segments = []
    if isinstance(backbone, PoolsRegions):
        probs = pooled_probs(backbone, pixels, kept, words)
    else:
        clip = clip_of(backbone)
        config = replace(config, size=clip.image_size)
        probs = mask_probs(clip, pixels, kept, words, config, mask_prompts=mask_prompts)
    for mask, row in zip(kept, probs[:, : len(vocabulary)], strict=True):
        best = row.topk(min(top, len(vocabulary)))
        ranked = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        segments.append(crop_segment(mask, *ranked[0], alternatives=ranked[1:]))
    source = {
        "task": "masks",
        "masks": places,
        "mask_prompts": 0 if mask_prompts is None else len(mask_prompts),
    }
    return Segmentation(size, vocabulary, painted(segments, size), tuple(segments), source)


@torch.inference_mode()
def mask_probs(
    clip: ClipVit,
    pixels: np.ndarray,
    masks: np.ndarray,
    words: Words,
    config: RegionConfig,
    *,
    mask_prompts: Tensor | None = None,
) -> Tensor:
    """Returns the (N, K) probabilities of words, negatives last, for masks with a pixel each.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        masks: (N, H, W) bool.
        mask_prompts: (D, N, d) or None.
    """
    short_side = min(*pixels.shape[:2], LARGEST_SIDE)
    image = resized(pixels, short_side).to(clip.device)
    at_once = max(PIXELS_AT_ONCE // (pixels.shape[0] * pixels.shape[1]), 1)
    probs = [words.embeds.new_zeros(0, len(words.embeds))]
    for start in range(0, len(masks), at_once):
        part = torch.from_numpy(masks[start : start + at_once]).to(clip.device)
        shrunk = _at_size(part, image, config.threshold)
        regions = cut_regions(image, shrunk, config, normalisation=clip.normalisation)
        embeds = region_embeds(clip, regions.pixels, regions.masks, mask_prompts)
        probs.append((clip.temperature * embeds @ words.embeds.T).float().softmax(-1))
    return torch.cat(probs)


@torch.inference_mode()
def pooled_probs(clip: PoolsRegions, pixels: np.ndarray, masks: np.ndarray, words: Words) -> Tensor:
    """Returns the (N, K) probabilities of words, negatives last, by mask pooling.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        masks: (N, H, W) bool, with a pixel each.
    """
    image = resized(pixels, min(*pixels.shape[:2], LARGEST_SIDE)).to(words.embeds.device)
    at_once = max(PIXELS_AT_ONCE // (pixels.shape[0] * pixels.shape[1]), 1)
    probs = [words.embeds.new_zeros(0, len(words.embeds))]
    for start in range(0, len(masks), at_once):
        part = torch.from_numpy(masks[start : start + at_once]).to(image.device)
        embeds = clip.region_embeds(image, _at_size(part, image, 0.5) > 0.5)
        probs.append((clip.temperature * embeds @ words.embeds.T).float().softmax(-1))
    return torch.cat(probs)


def _at_size(masks: Tensor, image: Tensor, threshold: float) -> Tensor:
    """Returns bool masks as (N, h, w) at the size of an image; a tiny one does not vanish."""
    if masks.shape[1:] == image.shape[1:]:
        return masks.float()
    size = (image.shape[1], image.shape[2])
    small = F.interpolate(masks[:, None].float(), size, mode="bilinear", antialias=True)[:, 0]
    vanished = ~(small > threshold).flatten(1).any(1)
    return torch.where(vanished[:, None, None], (small > 0).float(), small)
