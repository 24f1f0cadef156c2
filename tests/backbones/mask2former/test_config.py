"""Sizes: published ones have the published numbers of parameters."""

import pytest
import torch

from segtune.backbones.encoders.swin import SwinConfig
from segtune.backbones.mask2former.config import Mask2FormerConfig
from segtune.backbones.mask2former.model import Mask2Former
from segtune.errors import SegtuneError

SWIN_T = SwinConfig(96, (2, 2, 6, 2), (3, 6, 12, 24), window=7)
SWIN_L = SwinConfig(192, (2, 2, 18, 2), (6, 12, 24, 48), window=12)


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        (Mask2FormerConfig(), 44.0),  # table 1 of the paper: R-50, Swin-T, Swin-L
        (Mask2FormerConfig(SWIN_T, num_classes=133), 47.4),
        (Mask2FormerConfig(SWIN_L, num_classes=133, num_queries=200), 215.5),
    ],
)
def test_published_sizes_in_millions_of_parameters(config, millions):
    with torch.device("meta"):
        model = Mask2Former(config)
    # Statistics of a frozen batch norm are no parameters here, its affine map is one there.
    found = sum(p.numel() for p in model.parameters()) / 1e6
    assert found == pytest.approx(millions, abs=0.2)


def test_plain_values_there_and_back():
    for config in (Mask2FormerConfig(), Mask2FormerConfig(SWIN_T, class_agnostic=True)):
        assert Mask2FormerConfig.from_dict(config.to_dict()) == config


def test_widths_that_differ_need_a_projection():
    with pytest.raises(SegtuneError, match="pass projects_maps=True"):
        Mask2FormerConfig(hidden=128)
