"""A small pair of proposals and a CLIP with random weights: for tests."""

from __future__ import annotations

from typing import Any

from segtune.backbones.clip.model import ClipVit
from segtune.backbones.clip.random import tiny_clip_vit
from segtune.backbones.maskformer.random import random_maskformer
from segtune.backbones.two_stage.model import TwoStage


def random_two_stage(clip: ClipVit) -> TwoStage:
    """Returns a random MaskFormer in front of a CLIP, for images with a short side of 64."""
    return TwoStage(random_maskformer(), clip, name="tiny-pair", dense_size=64, templates="name")


def tiny_two_stage(*, seed: int = 0, tokenizer: Any = None) -> TwoStage:
    """Returns `random_two_stage` with a random CLIP of width 32."""
    return random_two_stage(tiny_clip_vit(seed=seed, tokenizer=tokenizer))
