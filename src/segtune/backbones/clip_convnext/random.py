"""A small ConvNeXt CLIP with random weights: for tests and cost measurements."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from segtune.backbones.clip_convnext.config import ClipConvNextConfig, ClipTextConfig
from segtune.backbones.clip_convnext.model import ClipConvNext
from segtune.backbones.encoders.convnext import ConvNextConfig

TINY = ClipConvNextConfig(
    image=ConvNextConfig(depths=(1, 1, 2, 1), channels=(8, 16, 24, 32)),
    text=ClipTextConfig(
        width=32, num_layers=2, num_heads=4, feedforward=64, context_length=16, vocab_size=64
    ),
    joint_width=16,
    head_hidden=32,
)
"""Sizes for tests."""


def tiny_clip_convnext(*, seed: int = 0, tokenizer: Any = None) -> ClipConvNext:
    """Returns a model with the sizes of `TINY`, for tests; its text tower reads 64 tokens."""
    config = replace(TINY, text=replace(TINY.text, context_length=64))
    return random_clip_convnext(config, tokenizer=tokenizer, seed=seed)


def random_clip_convnext(
    config: ClipConvNextConfig = TINY, *, tokenizer: Any | None = None, seed: int = 0
) -> ClipConvNext:
    """Returns a model with random weights; its blocks matter as much as their residuals."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ClipConvNext(config, tokenizer, name="random-clip-convnext")
        with torch.no_grad():
            for name, value in model.named_parameters():
                if name.endswith(".scale"):  # 1e-6 at the start of a training
                    value.copy_(torch.rand_like(value))
    return model
