"""A tiny two-stage model: a random MaskFormer that knows words, with any CLIP."""

import torch

from segtune.backbones.encoders.swin import SwinConfig
from segtune.backbones.maskformer.model import MaskFormer, MaskFormerConfig
from segtune.backbones.two_stage.model import TwoStage


def tiny_maskformer(*, joint_width: int = 16, class_hidden: int | None = 24) -> MaskFormer:
    """A random MaskFormer with 7 queries whose masks vary over the image."""
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
        torch.manual_seed(5)
        model = MaskFormer(config, name="tiny-maskformer")
    with torch.no_grad():  # random heads give masks that hardly differ from one another
        model.mask_head[-1].weight.mul_(20)
        model.pixel_decoder.mask_features.weight.mul_(20)
    return model


def tiny_two_stage(clip) -> TwoStage:
    """The pair of `tiny_maskformer` and a CLIP, for images with a short side of 64."""
    return TwoStage(tiny_maskformer(), clip, name="tiny-pair", dense_size=64, templates="name")
