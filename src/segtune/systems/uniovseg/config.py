"""Settings of Uni-OVSeg as a system: which masks are named, by what, and what is learned.

[P] marks the paper, [C] the released code, [F] FC-CLIP, whose evaluation the paper follows, and [O]
our choice where no public source settles the matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from segtune.errors import SegtuneError
from segtune.systems.options import checked


@dataclass(frozen=True)
class UniOvsegSettings:
    """Every choice of the system; the defaults are the published ones."""

    # Masks (segtune.backbones.uniovseg.everything).
    grid: int = 20  # points per side [C]
    min_iou: float = 0.6190392  # of masks, as the decoder expects it; see `everything` [C]
    max_iou: float = 0.5  # a mask goes where a better one overlaps it by this [C]
    max_inside: float | None = 0.7  # or holds this share of it; null keeps parts [C]
    min_stability: float = 0.0  # areas at +1 and -1 logit, as a ratio; the demo has one [C]
    shrink: int = 2  # where masks are compared: 2 half of the input, 4 a quarter, faster [O]

    # Names (segtune.systems.uniovseg.classifier).
    frozen_share: float = 0.0  # of the frozen CLIP in a geometric mean with the adapted one [O]
    class_power: float = 1.0  # scores are class^a iou^b [O]
    iou_power: float = 1.0  # b; 0 leaves the expected overlap out, as FC-CLIP does [O]

    # What is learned (segtune.systems.uniovseg.adapter).
    learns: Literal["adapter", "nothing"] = "adapter"  # nothing: masks pooled by the frozen CLIP
    rank: int = 8  # of the adapter [C]
    alpha: float = 1.0  # weight of the adapter [C]
    adapts_head: bool = False  # low-rank additions to the projection of CLIP, too [O]

    def __post_init__(self) -> None:
        if self.grid < 1 or self.rank < 1:
            raise SegtuneError(f"grid={self.grid}, rank={self.rank}; both must be at least 1")
        for name in ("min_iou", "max_iou", "min_stability", "frozen_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise SegtuneError(f"{name}={getattr(self, name)}; expected 0 to 1")
        if self.shrink not in (2, 4):
            raise SegtuneError(f"shrink={self.shrink}; expected 2 or 4")


FROZEN = "uniovseg-frozen"
"""The system that learns nothing."""


def configure(system: str, options: Mapping[str, Any] | None = None) -> UniOvsegSettings:
    """Returns the settings of a system with options changed.

    Args:
        system: "uniovseg", or "uniovseg-frozen", which learns nothing.
        options: field names to values.

    Raises:
        SegtuneError: an option is unknown, of another type or out of range.
    """
    preset = UniOvsegSettings(learns="nothing" if system == FROZEN else "adapter")
    return replace(preset, **checked(UniOvsegSettings, system, options))
