"""How masks become the regions that CLIP looks at: the recipes of OVSeg, SimBaseline and ZegFormer.

The recipes differ in the box, the paint and the resize, and CLIP notices; `RegionConfig` spells
them out.

Sources: OVSeg (Liang et al., CVPR 2023), SimBaseline (Xu et al., ECCV 2022), ZegFormer (Ding et
al., CVPR 2022) and what their released code does beyond the papers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from segtune.errors import SegtuneError
from segtune.ops.regions.axis_resize import Resize


@dataclass(frozen=True)
class RegionConfig:
    """How masks become regions; the defaults are OVSeg's with Swin-B.

    Attributes:
        style: "crop" cuts out the box and keeps the background, "cropmask" paints it over, "mask"
            paints over all but the mask and keeps the whole image, whose mask is thresholded only
            at the size of the region.
        threshold: a pixel belongs to a region where its probability is above this.
        fill: paint: the mean colour of CLIP, zero after normalisation; or black; or RGB 0..255.
        expand_ratio: factor on the sides of the box, 1 or more, about its centre; corners are cut
            to whole pixels towards zero.
        matting: blend with the probability instead of the thresholded mask.
        size: S in pixels.
        resize: "bicubic" (a = -0.75, no antialiasing, borders repeated at the edge of the box, not
            of the image), "bilinear" in the same way, or "roi_align" (mean of bilinear samples).
        box: "half_open" ends after the last pixel; "zegformer" ends before it, and is the whole
            image where nothing is left, as for lines one pixel wide.
        empty: masks without a pixel are skipped, or stand for the whole image.
    """

    style: Literal["crop", "mask", "cropmask"] = "cropmask"
    threshold: float = 0.4
    fill: Literal["mean", "zero"] | tuple[float, float, float] = "mean"
    expand_ratio: float = 1.0
    matting: bool = False
    size: int = 224
    resize: Resize = "bicubic"
    box: Literal["half_open", "zegformer"] = "half_open"
    empty: Literal["skip", "full_image"] = "skip"

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1:
            raise SegtuneError(f"threshold is {self.threshold}; give a probability below 1")
        if self.size < 1 or not self.expand_ratio >= 1:
            raise SegtuneError(
                f"size is {self.size}, expand_ratio {self.expand_ratio}; both must be 1 or more"
            )
        if self.style == "mask" and self.resize == "roi_align":
            raise SegtuneError('style "mask" keeps the whole image; use resize="bilinear"')


OVSEG = RegionConfig()
"""OVSeg with Swin-B; its R-101c model takes threshold 0.5, its demo 0.35."""
SIMBASELINE = replace(OVSEG, threshold=0.5)
ZEGFORMER = RegionConfig(threshold=0.5, resize="roi_align", box="zegformer", empty="full_image")
"""ZegFormer's choice among its three styles, crop and mask."""
ZEGFORMER_CROP = replace(ZEGFORMER, style="crop")
ZEGFORMER_MASK = replace(ZEGFORMER, style="mask", resize="bilinear")
