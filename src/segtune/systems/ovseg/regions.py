"""Which masks of an image CLIP looks at, and what it sees there.

Masks without a pixel above the threshold are never cut out, equal ones are cut out once, and all
regions of an image go through CLIP together. That changes nothing. Two options do: masks that could
hardly matter can be left out, and masks that overlap almost wholly can share one pass; see
`segtune.predict.agreement` for what they cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from segtune.backbones.clip.masked import region_embeds
from segtune.backbones.clip.model import ClipVit
from segtune.ops.duplicates import equal_masks, similar_masks
from segtune.ops.regions.cut import Regions, cut_regions
from segtune.ops.regions.recipes import OVSEG, SIMBASELINE, ZEGFORMER
from segtune.ops.resize import bilinear
from segtune.systems.ovseg.config import OVSegConfig
from segtune.types import Geometry

PRESETS = {"ovseg": OVSEG, "simbaseline": SIMBASELINE, "zegformer": ZEGFORMER}


@dataclass(frozen=True)
class Looked:
    """What CLIP saw of the masks of one image.

    Attributes:
        embeds: (R, k), unit length, of the masks that CLIP looked at, in order.
        valid: (Q,) bool, which masks those are.
        is_dropped: (Q,) bool, masks that an approximation left out altogether.
        num_passes: regions that went through CLIP; equal masks share one.
    """

    embeds: Tensor
    valid: Tensor
    is_dropped: Tensor
    num_passes: int


class RegionReader:
    """Cuts the regions of masks and shows them to a CLIP.

    Args:
        clip: whose input size is the size of the regions.
        config: recipe, threshold and approximations.
    """

    def __init__(self, clip: ClipVit, config: OVSegConfig) -> None:
        self.clip, self.config = clip, config
        preset = PRESETS[config.regions]
        style = config.style or preset.style
        squashes = style == "mask" and preset.resize == "roi_align"  # the whole image, not a box
        self.recipe = replace(
            preset,
            style=style,
            threshold=config.threshold,
            size=clip.image_size,
            resize="bilinear" if squashes else preset.resize,
        )

    @torch.no_grad()
    def look(
        self,
        pixels: Tensor,
        mask_logits: Tensor,
        geometry: Geometry,
        *,
        prompts: Tensor | None,
        objectness: Tensor,
        importance: Tensor,
    ) -> Looked:
        """Returns the image embeddings of the masks of one image.

        Args:
            pixels: (3, H, W), 0..255 RGB, padding included.
            mask_logits: (Q, h, w), unbounded, same frame.
            geometry: where the padding begins.
            prompts: (D, N, d) for blank patches; None leaves them as they are.
            objectness: (Q,), 0..1, how sure the proposals are that a mask is something.
            importance: (Q,), 0..1, the most that a mask can score for any class.
        """
        image, probs = self._frame(pixels, mask_logits, geometry)
        masks = probs > self.config.threshold
        valid = masks.flatten(1).any(1)
        if self.recipe.empty == "full_image":
            valid = torch.ones_like(valid)
        is_dropped = objectness < self.config.min_objectness
        if self.config.min_score_mass:
            mass = importance * probs.flatten(1).mean(1)
            is_dropped = is_dropped | (mass < self.config.min_score_mass)
        valid = valid & ~is_dropped
        rows = valid.nonzero()[:, 0]
        leaders = self._leaders(masks[rows], importance[rows])
        passing, source = leaders.unique(return_inverse=True)
        embeds = self.embed(image, probs[rows[passing]], prompts)
        return Looked(embeds[source], valid, is_dropped, len(passing))

    def embed(self, image: Tensor, probs: Tensor, prompts: Tensor | None) -> Tensor:
        """Returns (R, k) embeddings, unit length, of R masks that have a pixel; with gradients.

        Args:
            image: (3, H, W), 0..255.
            probs: (R, H, W), 0..1.
        """
        parts = [self.clip_pass(self.cut(image, part), prompts) for part in self._split(probs)]
        return torch.cat(parts) if parts else probs.new_zeros(0, self.clip.joint_width)

    def cut(self, image: Tensor, probs: Tensor) -> Regions:
        """Returns the regions of masks (R, H, W) on an image (3, H, W) as CLIP wants them."""
        return cut_regions(image, probs, self.recipe, normalisation=self.clip.normalisation)

    def clip_pass(self, regions: Regions, prompts: Tensor | None) -> Tensor:
        """Returns (R, k) embeddings, unit length."""
        masks = None if prompts is None else regions.masks
        return region_embeds(self.clip, regions.pixels, masks, prompts)

    def _split(self, probs: Tensor) -> Sequence[Tensor]:
        return probs.split(self.config.regions_at_once) if len(probs) else ()

    def _frame(
        self, pixels: Tensor, mask_logits: Tensor, geometry: Geometry
    ) -> tuple[Tensor, Tensor]:
        """Returns the image and the mask probabilities (Q, H, W) in which regions are cut.

        OVSeg and SimBaseline cut the padding off first. ZegFormer keeps it, in CLIP's mean colour.
        """
        probs = bilinear(mask_logits.float(), geometry.input_size).sigmoid()
        height, width = geometry.resized_size
        if self.config.regions != "zegformer":
            return pixels[:, :height, :width], probs[:, :height, :width]
        mean, _ = self.clip.normalisation.tensors(pixels)
        image = mean.expand_as(pixels).clone()
        image[:, :height, :width] = pixels[:, :height, :width]
        return image, probs

    def _leaders(self, masks: Tensor, importance: Tensor) -> Tensor:
        """Returns (R,) int64: for every mask the one whose pass it shares."""
        if self.recipe.style == "mask":  # thresholded after resizing: equal masks may differ
            return torch.arange(len(masks), device=masks.device)
        leaders = equal_masks(masks)
        if self.config.duplicate_iou == 1:
            return leaders
        order = importance.argsort(descending=True, stable=True)
        similar = similar_masks(masks[order], self.config.duplicate_iou)
        merged = torch.empty_like(leaders)
        merged[order] = order[similar]
        return merged
