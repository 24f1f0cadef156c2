"""What the first stage of a two-stage segmenter offers: masks without names.

A MaskFormer is the usual source; anything that gives masks can stand in, such as the grid of clicks
of a SAM or a folder of masks.
"""

from __future__ import annotations

from typing import Protocol

from segtune.backbones.base import Proposes


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
