"""What the first stage of a two-stage segmenter offers: masks without names.

A MaskFormer is the usual source; anything that gives masks can stand in, such as the grid of clicks
of a SAM or a folder of masks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from segtune.backbones.base import Proposes


@dataclass(frozen=True)
class Proposals:
    """Masks of a batch of images, over the model input, padding included.

    Attributes:
        mask_logits: (B, Q, h, w), unbounded, usually at a quarter of the input.
        query_embeds: (B, Q, k), not normalised, in the joint image-text space; None for sources
            that know no words.
        objectness: (B, Q), 0..1, how sure the source is that a mask is something; None where it
            does not say.
    """

    mask_logits: Tensor
    query_embeds: Tensor | None = None
    objectness: Tensor | None = None

    def __post_init__(self) -> None:
        expected = tuple(self.mask_logits.shape[:2])
        for name in ("query_embeds", "objectness"):
            value: Tensor | None = getattr(self, name)
            if value is not None and tuple(value.shape[:2]) != expected:
                raise ValueError(
                    f"{name} is {tuple(value.shape)} but there are {expected} masks (images, masks)"
                )


class ProposalModel(Proposes, Protocol):
    """A frozen first stage.

    Attributes:
        name: of the weights.
        stride: both sides of an input are multiples of it.
        padding: value of padded pixels, 0..255 RGB.
    """

    name: str
    stride: int

    @property
    def padding(self) -> tuple[float, float, float]: ...

    @property
    def fingerprint(self) -> str: ...
