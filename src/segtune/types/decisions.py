"""How the scores of a model become labels: the rules of the published lines of models.

A rule says what makes the scores comparable and where they are compared; `ops.pixel_labels` and
`ops.mask_labels` carry it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class DecidePixels:
    """Dense logits are brought to the original image and compared there.

    Attributes:
        scores: how they become probabilities: "sigmoid", or "softmax" over K.
    """

    scores: Literal["sigmoid", "softmax"] = "softmax"


@dataclass(frozen=True)
class SumAtOriginal:
    """Masks are brought to the original image and vote there, as in SEEM and X-Decoder.

    Attributes:
        resize: how mask logits get to the original image; "bicubic" is antialiased.
        answers: (Q, K) bool, the classes that each query may answer with; the probability of the
            others counts as "no object". None where all may.
    """

    resize: Literal["bilinear", "bicubic"] = "bilinear"
    answers: Tensor | None = None


@dataclass(frozen=True)
class SumAtResized:
    """Masks vote at the resized image and the sums are brought to the original: MaskFormer's line.

    Attributes:
        threshold: 0..1; masks are first cut to 0 and 1 at this probability. None sums the
            probabilities.
        class_shift: (K,), taken off the class maps at the original image before they are compared
            (ZegFormer's calibration); None takes nothing off.
    """

    threshold: float | None = None
    class_shift: Tensor | None = None


MaskRule = SumAtOriginal | SumAtResized
Decision = DecidePixels | MaskRule
