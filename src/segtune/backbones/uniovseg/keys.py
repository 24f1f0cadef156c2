"""Key tables of Uni-OVSeg checkpoints (`stage1.pth`), and the sizes that their tensors tell."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from segtune.backbones.clip_convnext.keys import config_from, from_open_clip, to_open_clip
from segtune.backbones.decoders.keys import (
    DEFORMABLE,
    MASKED,
    PIXEL_DECODER_PREFIX,
    PREDICTOR_PREFIX,
    count_of,
    deformable_sizes_from,
)
from segtune.backbones.reading.key_tables import Rules, keys_under, rename_keys, reversed_rules
from segtune.backbones.uniovseg.config import UniOvsegConfig
from segtune.errors import WeightsError

CLIP_PREFIX = "backbone.clip_model."
PROMPTS_PREFIX = "prompt_encoder."

PROMPTS: Rules = (
    (r"^pos_emb\.positional_encoding_gaussian_matrix$", "positions.frequencies"),
    (r"^corner_emb$", "corners"),
    (r"^point_emb$", "point"),
    (r"^box_emb$", "box"),
    (r"^attr_emb\.weight$", "signs"),
    (r"^mask_emb$", "masks"),
)
"""What lies under "prompt_encoder."."""

MASK_DECODER: Rules = (
    (r"^pe_layer\.positional_encoding_gaussian_matrix$", "positions.frequencies"),
    (r"^level_embed\.weight$", "level_embeds"),
    (r"^input_proj\.", "inputs."),
    (r"^feat_embed\.", "features."),
    (r"^extra_self_attention_layer\.self_attn\.in_proj_(weight|bias)$", r"among_tokens.qkv.\1"),
    (r"^extra_self_attention_layer\.self_attn\.out_proj\.", "among_tokens.project_out."),
    (r"^extra_self_attention_layer\.norm\.", "among_tokens.norm."),
    (r"^(mask|iou)_embed\.(\d+)\.layers\.0\.", r"\1_mlps.\2.0."),
    (r"^(mask|iou)_embed\.(\d+)\.layers\.1\.", r"\1_mlps.\2.2."),
    (r"^(mask|iou)_embed\.(\d+)\.layers\.2\.", r"\1_mlps.\2.4."),
    *(rule for rule in MASKED if rule[0].startswith((r"^transformer_", r"^decoder_norm"))),
)
"""The other names under "sem_seg_head.predictor."."""

IGNORED: Rules = ((r"^(pixel_mean|pixel_std|criterion\..*)$", None),)
"""Constants that detectron2 may store, and weights of the training loss."""

FLAT = {"corners": 1, "point": 2, "box": 2, "masks": 1}
"""Tables of the prompt encoder that have leading axes of length 1, and how many."""


def predictor_from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the tensors under "sem_seg_head.predictor.", prefix taken off, under our names.

    The prompt encoder lies under "prompts.", the mask decoder under "masks.".
    """
    prompts = rename_keys(keys_under(state, PROMPTS_PREFIX), PROMPTS)
    for name, count in FLAT.items():
        if name in prompts:
            prompts[name] = prompts[name].reshape(prompts[name].shape[count:])
    rest = {key: v for key, v in state.items() if not key.startswith(PROMPTS_PREFIX)}
    return {
        **{f"prompts.{key}": value for key, value in prompts.items()},
        **{f"masks.{key}": value for key, value in rename_keys(rest, MASK_DECODER).items()},
    }


def predictor_to_official(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns what `predictor_from_official` was given."""
    prompts = keys_under(own, "prompts.")
    for name, count in FLAT.items():
        if name in prompts:
            prompts[name] = prompts[name].reshape((1,) * count + prompts[name].shape)
    prompts = rename_keys(prompts, reversed_rules(PROMPTS))
    return {
        **{PROMPTS_PREFIX + key: value for key, value in prompts.items()},
        **rename_keys(keys_under(own, "masks."), reversed_rules(MASK_DECODER)),
    }


def from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a whole checkpoint under our names.

    Raises:
        WeightsError: a key belongs to no part of the model; all of them are listed.
    """
    state = rename_keys(state, IGNORED)
    known = (CLIP_PREFIX, PIXEL_DECODER_PREFIX, PREDICTOR_PREFIX)
    if left := sorted(key for key in state if not key.startswith(known)):
        raise WeightsError(f"{len(left)} keys are not of a Uni-OVSeg: {', '.join(left)}")
    clip = from_open_clip(keys_under(state, CLIP_PREFIX))
    pixels = rename_keys(keys_under(state, PIXEL_DECODER_PREFIX), DEFORMABLE)
    return {
        **{f"clip.{key}": value for key, value in clip.items()},
        **{f"pixel_decoder.{key}": value for key, value in pixels.items()},
        **predictor_from_official(keys_under(state, PREDICTOR_PREFIX)),
    }


def to_official(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns what `from_official` was given."""
    pixels = rename_keys(keys_under(own, "pixel_decoder."), reversed_rules(DEFORMABLE))
    clip, predictor = to_open_clip(keys_under(own, "clip.")), predictor_to_official(own)
    return {
        **{CLIP_PREFIX + key: value for key, value in clip.items()},
        **{PIXEL_DECODER_PREFIX + key: value for key, value in pixels.items()},
        **{PREDICTOR_PREFIX + key: value for key, value in predictor.items()},
    }


def sizes_from(
    own: Mapping[str, Tensor],
    *,
    num_heads: int = 8,
    groups: int = 32,
    canvas: int = 1024,
    text_heads: int | None = None,
) -> UniOvsegConfig:
    """Returns the sizes that the tensors of a whole model tell.

    Args:
        own: under our names.
        num_heads, groups, canvas, text_heads: not in the weights; the defaults are the released.

    Raises:
        WeightsError: tensors that sizes are read from are missing.
    """
    pixels, masks = keys_under(own, "pixel_decoder."), keys_under(own, "masks.")
    pixel_sizes = deformable_sizes_from(pixels, num_heads=num_heads, groups=groups)
    for name in ("layers.0.feedforward.expand.weight", "level_embeds"):
        if name not in masks:
            raise WeightsError(f"not a Uni-OVSeg: nothing stands for masks.{name}")
    return UniOvsegConfig(
        clip=config_from(keys_under(own, "clip."), text_heads=text_heads),
        hidden=masks["level_embeds"].shape[1],
        num_heads=num_heads,
        pixel_layers=pixel_sizes["num_layers"],
        pixel_feedforward=pixel_sizes["feedforward"],
        decoder_layers=count_of(masks, r"layers\.(\d+)\."),
        feedforward=masks["layers.0.feedforward.expand.weight"].shape[0],
        num_granularities=count_of(masks, r"mask_mlps\.(\d+)\.") - 1,
        positions="fourier" if "positions.frequencies" in masks else "sine",
        groups=groups,
        canvas=canvas,
    )
