"""A small CLIP with random weights: for tests and cost measurements."""

from __future__ import annotations

from typing import Any

import torch
from transformers import CLIPConfig, CLIPModel

from segtune.backbones.clip.model import ClipVit


def random_clip_vit(
    *,
    width: int = 32,
    layers: int = 2,
    heads: int = 4,
    image_size: int = 32,
    patch_size: int = 8,
    joint_width: int = 16,
    text_width: int = 32,
    text_layers: int = 2,
    vocab_size: int = 64,
    context: int = 16,
    seed: int = 0,
) -> ClipVit:
    """Returns a CLIP with random weights and no tokenizer, for tests and cost measurements."""
    config = CLIPConfig(
        vision_config={
            "hidden_size": width,
            "intermediate_size": 4 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "image_size": image_size,
            "patch_size": patch_size,
            "projection_dim": joint_width,
        },
        text_config={
            "hidden_size": text_width,
            "intermediate_size": 4 * text_width,
            "num_hidden_layers": text_layers,
            "num_attention_heads": 4,
            "vocab_size": vocab_size,
            "max_position_embeddings": context,
            "projection_dim": joint_width,
            "eos_token_id": 2,
        },
        projection_dim=joint_width,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CLIPModel(config)
    return ClipVit(model, name=f"random-clip-{width}x{layers}")


def tiny_clip_vit(*, seed: int = 0, tokenizer: Any = None) -> ClipVit:
    """Returns a CLIP of width 32 with three layers and patches of 8 pixels, for tests."""
    clip = random_clip_vit(layers=3, context=64, seed=seed)
    clip.tokenizer = tokenizer
    return clip
