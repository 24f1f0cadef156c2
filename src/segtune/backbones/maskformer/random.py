"""A small MaskFormer with random weights: for tests."""

from __future__ import annotations

from typing import Any

import torch

from segtune.backbones.encoders.swin import SwinConfig
from segtune.backbones.maskformer.model import MaskFormer, MaskFormerConfig


def random_maskformer(
    *, joint_width: int = 16, class_hidden: int | None = 24, seed: int = 5
) -> MaskFormer:
    """Returns a MaskFormer of random weights with 7 queries whose masks vary over the image."""
    swin = SwinConfig(8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window=4)
    config = MaskFormerConfig(
        swin,
        fpn_width=16,
        mask_dim=16,
        hidden=32,
        num_heads=4,
        feedforward=32,
        num_layers=2,
        num_queries=7,
        joint_width=joint_width,
        class_hidden=class_hidden,
        groups=4,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MaskFormer(config, name="tiny-maskformer")
    with torch.no_grad():  # random heads give masks that hardly differ from one another
        last: Any = model.mask_head[-1]
        last.weight.mul_(20)
        model.pixel_decoder.mask_features.weight.mul_(20)
    return model
