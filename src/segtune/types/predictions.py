"""What models compute for an image, before it is brought back to the original image.

Shape letters: B images, K classes, Q queries, H W image pixels, h w feature grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from segtune.types.decisions import DecidePixels, Decision, MaskRule, SumAtOriginal
from segtune.types.sizes import Geometry

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Features:
    """What a frozen model computed for a batch of images; opaque outside the system that made it.

    Attributes:
        tensors: named tensors, batch first.
        grid: (h, w) of the feature grid.
        key: fingerprint of the model and its preprocessing, for caches.
    """

    tensors: Mapping[str, torch.Tensor]
    grid: tuple[int, int]
    key: str = ""


@dataclass(frozen=True)
class MaskPrediction:
    """Class and mask scores of one image, before they are resized and made into a decision.

    Dense models give `pixel_logits`; mask-based ones give `mask_logits` with either `class_logits`
    or, where the scores are probabilities already (two-stage models fuse two of them),
    `class_scores`.

    Attributes:
        geometry: the way back to the pixels of the original image.
        pixel_logits: (K, h, w), unbounded, over the model input, padding included.
        mask_logits: (Q, h, w), unbounded, same frame.
        class_logits: (Q, K + 1), unbounded; the last column is "no object".
        class_scores: (Q, K), 0..1, used as they are; rows need not sum to one.
        decision: how they become labels; None is `DecidePixels()` or `SumAtOriginal()`.
    """

    geometry: Geometry
    pixel_logits: torch.Tensor | None = None
    mask_logits: torch.Tensor | None = None
    class_logits: torch.Tensor | None = None
    class_scores: torch.Tensor | None = None
    decision: Decision | None = None

    def __post_init__(self) -> None:
        dense, masks = self.pixel_logits is not None, self.mask_logits is not None
        given = sum(scores is not None for scores in (self.class_logits, self.class_scores))
        if dense == masks or given != int(masks):
            raise ValueError(
                "give either pixel_logits, or mask_logits together with one of class_logits and "
                "class_scores"
            )
        if self.decision is not None and isinstance(self.decision, DecidePixels) != dense:
            what = "dense logits" if dense else "masks"
            raise ValueError(f"{type(self.decision).__name__} is no decision about {what}")

    @property
    def pixel_rule(self) -> DecidePixels:
        """How dense logits become labels."""
        return self.decision if isinstance(self.decision, DecidePixels) else DecidePixels()

    @property
    def mask_rule(self) -> MaskRule:
        """How masks become labels."""
        if self.decision is None or isinstance(self.decision, DecidePixels):
            return SumAtOriginal()
        return self.decision
