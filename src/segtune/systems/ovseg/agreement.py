"""What the approximate options cost: labels beside those of the exact system on the same image."""

from __future__ import annotations

from dataclasses import replace

from segtune.errors import SegtuneError
from segtune.systems.base import System
from segtune.systems.ovseg.config import OVSegConfig
from segtune.systems.ovseg.model import PromptedTwoStage
from segtune.types import Segmentation

EXACT = OVSegConfig()
APPROXIMATE = ("min_objectness", "min_score_mass", "duplicate_iou")
"""Options whose values other than those of `EXACT` change labels."""


def exact_twin(system: System) -> PromptedTwoStage | None:
    """Returns the same system without approximations, and with the same learned numbers.

    None for a system that is exact already, or of another kind.
    """
    if not isinstance(system, PromptedTwoStage):
        return None
    exact = replace(system.config, **{name: getattr(EXACT, name) for name in APPROXIMATE})
    if exact == system.config:
        return None
    twin = PromptedTwoStage(system.backbone, exact, name=system.name)
    twin.load_learned(system.learned())
    return twin


def labels_equal(a: Segmentation, b: Segmentation) -> float:
    """Returns the share of pixels with the same label, 0..1.

    Raises:
        SegtuneError: one of the two has no label map, or they are of different sizes.

    Example:
        >>> import numpy as np
        >>> from segtune.types import Vocabulary
        >>> words = Vocabulary.of("sky", "sea")
        >>> labels = np.array([[0, 0, 1, 1]], dtype=np.int32)
        >>> a = Segmentation((1, 4), words, semantic=labels)
        >>> labels_equal(a, Segmentation((1, 4), words, semantic=labels * 0))
        0.5
    """
    if a.semantic is None or b.semantic is None or a.size != b.size:
        raise SegtuneError("labels are compared between two label maps of the same image")
    return float((a.semantic == b.semantic).mean())
