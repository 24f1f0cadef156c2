"""Small SAM, SAM 2 and SAM 3 with random weights: for tests and cost measurements."""

from __future__ import annotations

from typing import Any, Literal

import torch
from transformers import Sam2Config, Sam2Model, Sam3Config, Sam3Model, SamConfig, SamModel

from segtune.backbones.sam.model import Sam
from segtune.backbones.sam.sam3 import Sam3


def random_sam(kind: Literal["sam", "sam2"] = "sam", *, width: int = 32, seed: int = 0) -> Sam:
    """Returns a small SAM or SAM 2 with random weights and inputs of 64 px, for tests.

    Args:
        width: D, a multiple of 16.
    """
    prompts: dict[str, Any] = {"hidden_size": width, "image_size": 64, "mask_input_channels": 8}
    masks: dict[str, Any] = {
        "hidden_size": width,
        "mlp_dim": width,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": 16,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "sam":
            vision: dict[str, Any] = {
                "hidden_size": 16,
                "output_channels": width,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 64,
                "patch_size": 8,
                "window_size": 4,
                "global_attn_indexes": [1],
                "num_pos_feats": width // 2,
                "initializer_range": 0.02,
            }
            prompts |= {"patch_size": 8, "image_embedding_size": 8}
            config = SamConfig(
                vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=masks
            )
            return Sam(SamModel(config), name="random-sam")
        hiera = {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": 8,
            "image_size": [64, 64],
            "blocks_per_stage": [1, 1, 2, 1],
            "embed_dim_per_stage": [8, 16, 32, 64],
            "num_attention_heads_per_stage": [1, 1, 2, 2],
            "window_size_per_stage": [4, 2, 2, 2],
            "window_positional_embedding_background_size": [4, 4],
            "global_attention_blocks": [3],
        }
        vision = {
            "backbone_config": hiera,
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
            "fpn_hidden_size": width,
        }
        config2 = Sam2Config(
            vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=masks
        )
        return Sam(Sam2Model(config2), name="random-sam2")


def random_sam3(*, width: int = 32, num_queries: int = 6, seed: int = 0) -> Sam3:
    """Returns a small SAM 3 with random weights, inputs of 56 px and no tokenizer, for tests.

    Args:
        width: D, a multiple of 16.
    """
    part: dict[str, Any] = {
        "hidden_size": width,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "num_layers": 1,
    }
    vit = {
        "model_type": "sam3_vit_model",
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 56,
        "window_size": 2,
        "global_attn_indexes": [1],
        "pretrain_image_size": 28,
    }
    text = {
        "model_type": "clip_text_model",
        "vocab_size": 64,
        "hidden_size": 16,
        "intermediate_size": 32,
        "projection_dim": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 32,
        "bos_token_id": 0,
        "eos_token_id": 63,
        "pad_token_id": 63,
    }
    sizes = [[16, 16], [8, 8], [4, 4]]
    config = Sam3Config(
        vision_config={
            "backbone_config": vit,
            "fpn_hidden_size": width,
            "backbone_feature_sizes": sizes,
        },
        text_config=text,
        geometry_encoder_config=part | {"roi_size": 3},
        detr_encoder_config=part,
        detr_decoder_config=part | {"num_layers": 2, "num_queries": num_queries},
        mask_decoder_config={"hidden_size": width, "num_attention_heads": 2},
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Sam3Model(config)
    return Sam3(model, name="random-sam3")


def tiny_sam(*, seed: int = 0, tokenizer: Any = None) -> Sam:
    """Returns `random_sam`, which reads no words and so needs no tokenizer."""
    return random_sam(seed=seed)


def tiny_sam3(*, seed: int = 0, tokenizer: Any = None) -> Sam3:
    """Returns `random_sam3` with a tokenizer."""
    sam = random_sam3(seed=seed)
    sam.tokenizer = tokenizer
    return sam
