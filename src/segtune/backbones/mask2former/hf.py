"""Mask2Former in the layout of transformers (`Mask2FormerForUniversalSegmentation`), both ways.

The names are those of files: transformers renames some while it reads and writes. Its backbones are
Swin and, with a warning, ResNet. Differences that no name shows: a Swin of transformers makes its
windows smaller on maps below their size, where the official one and ours pad; `decoder_layers`
counts one more than there are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segtune.backbones.encoders.files import RESNET_HF, SWIN_HF, joined_attention, split_attention
from segtune.backbones.encoders.swin import SwinConfig
from segtune.backbones.mask2former.config import Mask2FormerConfig, config_from
from segtune.backbones.mask2former.model import Mask2Former
from segtune.backbones.reading.key_tables import (
    Rules,
    keys_under,
    load_strictly,
    rename_keys,
    reversed_rules,
)
from segtune.errors import WeightsError
from segtune.ops.normalisation import IMAGENET_BY_UNIT, Normalisation
from segtune.storage.weights.state_dicts import some

HF_TYPE = "mask2former"

ENCODER_PREFIX = "model.pixel_level_module.encoder."
PIXEL_PREFIX = "model.pixel_level_module.decoder."
DECODER_PREFIX = "model.transformer_module."

PIXEL: Rules = (
    (r"^input_projections\.", "inputs."),
    (r"^level_embed$", "level_embeds"),
    (r"^encoder\.layers\.(\d+)\.", r"layers.\1."),
    (r"\.self_attn\.sampling_offsets\.", ".attention.offsets."),
    (r"\.self_attn\.attention_weights\.", ".attention.shares."),
    (r"\.self_attn\.value_proj\.", ".attention.values."),
    (r"\.self_attn\.output_proj\.", ".attention.project_out."),
    (r"\.self_attn_layer_norm\.", ".norm1."),
    (r"\.final_layer_norm\.", ".norm2."),
    (r"\.fc1\.", ".expand."),
    (r"\.fc2\.", ".shrink."),
    (r"^adapter_1\.0\.", "laterals.0.conv."),
    (r"^adapter_1\.1\.", "laterals.0.norm."),
    (r"^layer_1\.0\.", "outputs.0.conv."),
    (r"^layer_1\.1\.", "outputs.0.norm."),
    (r"^mask_projection\.", "mask_features."),
)

DECODER: Rules = (
    (r"^queries_features\.weight$", "query_content"),
    (r"^queries_embedder\.weight$", "query_position"),
    (r"^level_embed\.weight$", "level_embeds"),
    (r"^input_projections\.", "input_proj."),
    (r"^decoder\.layers\.(\d+)\.", r"layers.\1."),
    (r"\.cross_attn\.in_proj_(weight|bias)$", r".cross.qkv.\1"),
    (r"\.cross_attn\.out_proj\.", ".cross.project_out."),
    (r"\.cross_attn_layer_norm\.", ".cross.norm."),
    (r"\.self_attn\.out_proj\.", ".self_attention.project_out."),
    (r"\.self_attn_layer_norm\.", ".self_attention.norm."),
    (r"\.fc1\.", ".feedforward.expand."),
    (r"\.fc2\.", ".feedforward.shrink."),
    (r"\.final_layer_norm\.", ".feedforward.norm."),
    (r"^decoder\.layernorm\.", "norm."),
    (r"^decoder\.mask_predictor\.mask_embedder\.0\.0\.", "mask_mlp.0."),
    (r"^decoder\.mask_predictor\.mask_embedder\.1\.0\.", "mask_mlp.2."),
    (r"^decoder\.mask_predictor\.mask_embedder\.2\.0\.", "mask_mlp.4."),
)
"""Queries, keys and values of the self-attention stay apart; see `_THIRD`."""

_THIRD = re.compile(r"\.self_attn\.([qkv])_proj\.(weight|bias)$")
_WHOLE = re.compile(r"\.self_attention\.qkv\.(weight|bias)$")


def mask2former_from_hf(
    state: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    *,
    name: str = "mask2former",
    normalisation: Normalisation = IMAGENET_BY_UNIT,
) -> Mask2Former:
    """Returns a frozen model from the tensors and the config.json of transformers.

    Raises:
        WeightsError: it is a form that Mask2Former was never published in, or something is
            missing, left over, or of another shape; all of it is listed.
    """
    unusual = [
        f"{key}={settings[key]!r}"
        for key, usual in (
            ("pre_norm", False),
            ("activation_function", "relu"),
            ("common_stride", 4),
            ("feature_strides", [4, 8, 16, 32]),
        )
        if settings.get(key, usual) != usual
    ]
    if unusual:
        raise WeightsError(f"{name} is a Mask2Former of another form: {', '.join(unusual)}")
    own = state_from_hf(state)
    config = config_from(own, num_heads=settings.get("num_attention_heads", 8))
    model = Mask2Former(config, name=name, normalisation=normalisation)
    load_strictly(model, own, name)
    return model


def state_from_hf(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors of a file of transformers under the names of `Mask2Former`.

    Raises:
        WeightsError: it holds tensors that are no part of a Mask2Former; all of them are listed.
    """
    state = {key: value for key, value in state.items() if key != "criterion.empty_weight"}
    prefixes = (ENCODER_PREFIX, PIXEL_PREFIX, DECODER_PREFIX, "class_predictor.")
    if extra := [key for key in state if not key.startswith(prefixes)]:
        raise WeightsError(f"tensors that are no part of a Mask2Former: {some(extra)}")
    encoder = keys_under(state, ENCODER_PREFIX)
    is_resnet = any(".convolution." in key for key in encoder)
    encoder = joined_attention(rename_keys(encoder, RESNET_HF if is_resnet else SWIN_HF))
    decoder = rename_keys(_joined(keys_under(state, DECODER_PREFIX)), DECODER)
    parts = {
        "image_encoder.": encoder,
        "pixel_decoder.": rename_keys(keys_under(state, PIXEL_PREFIX), PIXEL),
        "decoder.": decoder,
        "decoder.class_linear.": keys_under(state, "class_predictor."),
    }
    return {prefix + key: value for prefix, part in parts.items() for key, value in part.items()}


def state_to_hf(state: Mapping[str, Tensor], config: Mask2FormerConfig) -> dict[str, Tensor]:
    """Returns the state of a `Mask2Former` under the names of files of transformers."""
    encoder = keys_under(state, "image_encoder.")
    if isinstance(config.image_encoder, SwinConfig):
        encoder = rename_keys(split_attention(encoder), reversed_rules(SWIN_HF[1:]))
        width = config.image_encoder.out_channels[-1]
        # Before a classifier; transformers keeps it in every Swin, and no mask depends on it.
        encoder["swin.layernorm.weight"] = torch.ones(width)
        encoder["swin.layernorm.bias"] = torch.zeros(width)
    else:
        encoder = rename_keys(encoder, reversed_rules(RESNET_HF[1:]))
        for key in [key for key in encoder if key.endswith(".running_mean")]:
            counter = key.replace("running_mean", "num_batches_tracked")
            encoder[counter] = torch.zeros((), dtype=torch.int64)
    decoder = keys_under(state, "decoder.")
    classes = keys_under(decoder, "class_linear.")
    decoder = {key: v for key, v in decoder.items() if not key.startswith("class_linear.")}
    weights = torch.ones(config.num_classes + 1)
    weights[-1] = 0.1  # of "no object" in the training loss
    parts = {
        ENCODER_PREFIX: encoder,
        PIXEL_PREFIX: rename_keys(keys_under(state, "pixel_decoder."), reversed_rules(PIXEL)),
        DECODER_PREFIX: rename_keys(_split(decoder), reversed_rules(DECODER)),
        "class_predictor.": classes,
        "": {"criterion.empty_weight": weights},
    }
    return {prefix + key: value for prefix, part in parts.items() for key, value in part.items()}


def settings_for_hf(config: Mask2FormerConfig) -> dict[str, Any]:
    """Returns the config.json of transformers for a model."""
    encoder = config.image_encoder
    backbone: dict[str, Any] = {
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
        "depths": list(encoder.depths),
    }
    if isinstance(encoder, SwinConfig):
        backbone |= {
            "model_type": "swin",
            "embed_dim": encoder.embed_dim,
            "num_heads": list(encoder.num_heads),
            "window_size": encoder.window,
            "mlp_ratio": encoder.mlp_ratio,
        }
    else:
        if len(encoder.stem) != 1 or encoder.bottleneck * 4 != encoder.out:
            raise WeightsError(
                "transformers has no ResNet with this stem or these bottlenecks; only the plain "
                "one can be written"
            )
        backbone |= {
            "model_type": "resnet",
            "embedding_size": encoder.stem[0],
            "hidden_sizes": list(encoder.out_channels),
            "layer_type": "bottleneck",
        }
    return {
        "model_type": HF_TYPE,
        "architectures": ["Mask2FormerForUniversalSegmentation"],
        "backbone_config": backbone,
        "num_labels": config.num_classes,
        "feature_size": config.pixel_width,
        "mask_feature_size": config.mask_dim,
        "hidden_dim": config.hidden,
        "encoder_feedforward_dim": config.pixel_feedforward,
        "encoder_layers": config.pixel_layers,
        "decoder_layers": config.decoder_layers + 1,
        "num_attention_heads": config.num_heads,
        "dim_feedforward": config.feedforward,
        "num_queries": config.num_queries,
        "enforce_input_projection": config.projects_maps,
    }


def save_for_hf(model: Mask2Former, folder: Path | str) -> Path:
    """Writes a folder that `Mask2FormerForUniversalSegmentation.from_pretrained` reads; returns it.

    Raises:
        WeightsError: transformers has no model of these sizes.
    """
    from safetensors.torch import save_file

    config = model.config
    if config.groups != 32 or config.num_points != 4:
        raise WeightsError(
            f"transformers has no Mask2Former with {config.groups} groups and {config.num_points} "
            "points; only 32 and 4 can be written"
        )
    folder = Path(folder)
    settings = settings_for_hf(config)
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        k: v.to("cpu").contiguous() for k, v in state_to_hf(model.state_dict(), config).items()
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    preprocessing = {
        "image_mean": list(model.normalisation.unit_mean),
        "image_std": list(model.normalisation.unit_std),
        "size_divisor": model.patch_size,
    }
    text = json.dumps(preprocessing, indent=2) + "\n"
    (folder / "preprocessor_config.json").write_text(text, encoding="utf-8")
    return folder


def _joined(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the state with queries, keys and values of every self-attention as one layer."""
    joined = {key: value for key, value in state.items() if not _THIRD.search(key)}
    for key in state:
        if (found := _THIRD.search(key)) and found[1] == "q":
            parts = [_THIRD.sub(rf".self_attn.{part}_proj.{found[2]}", key) for part in "qkv"]
            if missing := [part for part in parts if part not in state]:
                raise WeightsError(f"not a Mask2Former: {some(missing)} are missing")
            whole = _THIRD.sub(r".self_attention.qkv.\2", key)
            joined[whole] = torch.cat([state[part] for part in parts])
    return joined


def _split(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the state with queries, keys and values of every self-attention apart."""
    split: dict[str, Tensor] = {}
    for key, value in state.items():
        if found := _WHOLE.search(key):
            for part, third in zip("qkv", value.chunk(3), strict=True):
                split[_WHOLE.sub(rf".self_attn.{part}_proj.{found[1]}", key)] = third
        else:
            split[key] = value
    return split
