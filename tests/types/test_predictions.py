"""One rule per prediction, and only one that fits its scores."""

import pytest
import torch

from segtune.types import DecidePixels, Geometry, MaskPrediction, SumAtOriginal, SumAtResized

SIZE = Geometry((4, 4), (4, 4), (4, 4))
DENSE = {"pixel_logits": torch.zeros(2, 4, 4)}
MASKS = {"mask_logits": torch.zeros(3, 4, 4), "class_logits": torch.zeros(3, 3)}


def test_the_rule_of_most_models_is_the_default() -> None:
    assert MaskPrediction(SIZE, **DENSE).pixel_rule == DecidePixels("softmax")
    assert MaskPrediction(SIZE, **MASKS).mask_rule == SumAtOriginal("bilinear", None)


def test_a_rule_that_is_given_counts() -> None:
    assert MaskPrediction(SIZE, **DENSE, decision=DecidePixels("sigmoid")).pixel_rule.scores == (
        "sigmoid"
    )
    for rule in (SumAtOriginal("bicubic"), SumAtResized(threshold=0.3)):
        assert MaskPrediction(SIZE, **MASKS, decision=rule).mask_rule is rule


@pytest.mark.parametrize(
    ("scores", "rule"),
    [(DENSE, SumAtOriginal()), (DENSE, SumAtResized()), (MASKS, DecidePixels())],
)
def test_a_rule_about_other_scores_is_refused(scores, rule) -> None:
    with pytest.raises(ValueError, match="is no decision about"):
        MaskPrediction(SIZE, **scores, decision=rule)


@pytest.mark.parametrize(
    "scores",
    [{}, DENSE | MASKS, {"mask_logits": MASKS["mask_logits"]}, MASKS | {"class_scores": 0}],
)
def test_scores_are_of_pixels_or_of_masks(scores) -> None:
    with pytest.raises(ValueError, match="give either pixel_logits"):
        MaskPrediction(SIZE, **scores)
