"""A small Uni-OVSeg with random weights: for tests and cost measurements."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from segtune.backbones.clip_convnext.random import TINY as TINY_CLIP
from segtune.backbones.clip_convnext.random import random_clip_convnext, tiny_clip_convnext
from segtune.backbones.uniovseg.config import UniOvsegConfig
from segtune.backbones.uniovseg.model import UniOvseg

TINY = UniOvsegConfig(
    clip=TINY_CLIP,
    hidden=32,
    num_heads=4,
    pixel_layers=1,
    pixel_feedforward=32,
    decoder_layers=3,
    feedforward=48,
    groups=8,
    canvas=64,
)
"""Sizes for tests."""


def tiny_uniovseg(*, seed: int = 0, tokenizer: Any = None) -> UniOvseg:
    """Returns a model with the sizes of `TINY`, for tests; its text tower reads 64 tokens."""
    config = replace(TINY, clip=tiny_clip_convnext().config)
    return random_uniovseg(config, tokenizer=tokenizer, seed=seed)


def random_uniovseg(
    config: UniOvsegConfig = TINY, *, tokenizer: Any | None = None, seed: int = 0
) -> UniOvseg:
    """Returns a model with random weights."""
    clip = random_clip_convnext(config.clip, tokenizer=tokenizer, seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UniOvseg(config, clip, name="random-uniovseg")
