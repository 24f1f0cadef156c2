"""A tiny Mask2Former with random weights, for tests and cost measurements."""

from __future__ import annotations

from typing import Any

import torch

from segtune.backbones.encoders.resnet import ResNetConfig
from segtune.backbones.encoders.swin import SwinConfig
from segtune.backbones.mask2former.config import Mask2FormerConfig
from segtune.backbones.mask2former.model import Mask2Former

TINY_RESNET = ResNetConfig((1, 1, 1, 1), stem=(8,), bottleneck=4, out=8, dilations=(1,))
TINY_SWIN = SwinConfig(8, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2), window=4)
TINY = Mask2FormerConfig(
    TINY_RESNET,
    num_classes=3,
    num_queries=6,
    hidden=32,
    feedforward=48,
    decoder_layers=3,
    pixel_width=32,
    pixel_feedforward=40,
    pixel_layers=2,
    num_points=2,
    mask_dim=16,
    num_heads=4,
    groups=8,
)


def random_mask2former(config: Mask2FormerConfig = TINY, *, seed: int = 0) -> Mask2Former:
    """Returns a model of random weights: D = 32, 6 queries, 3 classes, 3 layers by default.

    Points of the deformable encoder depend on the image, by about one position; at their published
    start they would not.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Mask2Former(config, name="random-mask2former")
        for layer in model.pixel_decoder.layers:
            attention: Any = layer.attention
            for linear in (attention.offsets, attention.shares):
                torch.nn.init.normal_(linear.weight, std=config.pixel_width**-0.5)
    return model


def tiny_mask2former(*, seed: int = 0, tokenizer: Any | None = None) -> Mask2Former:
    """Returns `random_mask2former` of a seed; it reads no words."""
    return random_mask2former(seed=seed)
