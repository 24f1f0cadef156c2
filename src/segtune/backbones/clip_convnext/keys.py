"""Key tables: from OpenCLIP's names of a ConvNeXt CLIP to ours, and the sizes that tensors tell."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from segtune.backbones.clip_convnext.config import ClipConvNextConfig, ClipTextConfig
from segtune.backbones.encoders.convnext import ConvNextConfig
from segtune.backbones.reading.key_tables import (
    Rules,
    count_of,
    keys_under,
    rename_keys,
    reversed_rules,
)
from segtune.errors import WeightsError

VISUAL: Rules = (
    (r"^head\.proj\.", "head.project."),  # where the head is one linear layer
    (r"^head\.mlp\.fc2\.", "head.project."),
    (r"^trunk\.head\.norm\.", "head.norm."),
    (r"^trunk\.stages\.(\d+)\.downsample\.", r"image.downsamples.\1."),
    (r"^trunk\.stem\.", "image.downsamples.0."),
    (r"^trunk\.stages\.(\d+)\.blocks\.(\d+)\.", r"image.stages.\1.\2."),
    (r"\.conv_dw\.", ".conv."),
    (r"\.mlp\.fc1\.", ".expand."),
    (r"\.mlp\.fc2\.", ".shrink."),
    (r"\.gamma$", ".scale"),
)
"""What lies under "visual."."""

TEXT: Rules = (
    (r"(^|\.)attn_mask$", None),  # the causal mask
    (r"^token_embedding\.", "text.words."),
    (r"^positional_embedding$", "text.positions"),
    (r"^ln_final\.", "text.norm."),
    (r"^text_projection$", "text.projection"),
    (r"^transformer\.resblocks\.(\d+)\.", r"text.layers.\1."),
    (r"\.attn\.in_proj_(weight|bias)$", r".qkv.\1"),
    (r"\.attn\.out_proj\.", ".project_out."),
    (r"\.ln_(\d)\.", r".norm\1."),
    (r"\.mlp\.c_fc\.", ".expand."),
    (r"\.mlp\.c_proj\.", ".shrink."),
)
"""The other names; OpenCLIP's newer layout has "text." before them."""

VISUAL_PREFIX, TEXT_PREFIX = "visual.", "text."
HEAD_WIDTH = 64
"""Of the text towers of every published model."""


def from_open_clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a state dict in OpenCLIP's layout under our names."""
    visual = rename_keys(keys_under(state, VISUAL_PREFIX), VISUAL)
    rest = {k: value for k, value in state.items() if not k.startswith(VISUAL_PREFIX)}
    text = rename_keys({k.removeprefix(TEXT_PREFIX): v for k, v in rest.items()}, TEXT)
    if "logit_scale" in text:
        text["logit_scale"] = text["logit_scale"].reshape(())
    return {**visual, **text}


def to_open_clip(own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a state dict under our names in OpenCLIP's layout."""
    linear, hidden, *others = VISUAL
    back = reversed_rules([hidden if "head.expand.weight" in own else linear, *others])
    image = {k: v for k, v in own.items() if k.startswith(("image.", "head."))}
    rest = {k: v for k, v in own.items() if k not in image}
    visual = {VISUAL_PREFIX + k: v for k, v in rename_keys(image, back).items()}
    return {**visual, **rename_keys(rest, reversed_rules(TEXT))}


def config_from(own: Mapping[str, Tensor], *, text_heads: int | None = None) -> ClipConvNextConfig:
    """Returns the sizes that the tensors of a model tell.

    Args:
        own: under our names.
        text_heads: not in the weights; None takes heads of width 64.

    Raises:
        WeightsError: tensors that sizes are read from are missing.
    """
    image, text = keys_under(own, "image."), keys_under(own, "text.")
    num_stages = count_of(image, r"stages\.(\d+)\.")
    width = _shape(own, "text.words.weight")[1]
    hidden = own.get("head.expand.weight")
    return ClipConvNextConfig(
        image=ConvNextConfig(
            depths=tuple(count_of(image, rf"stages\.{i}\.(\d+)\.") for i in range(num_stages)),
            channels=tuple(_shape(image, f"stages.{i}.0.scale")[0] for i in range(num_stages)),
            kernel=_shape(image, "stages.0.0.conv.weight")[-1],
            mlp_ratio=_ratio(image),
        ),
        text=ClipTextConfig(
            width=width,
            num_layers=count_of(text, r"layers\.(\d+)\."),
            num_heads=text_heads or max(width // HEAD_WIDTH, 1),
            feedforward=_shape(own, "text.layers.0.expand.weight")[0],
            context_length=_shape(own, "text.positions")[0],
            vocab_size=_shape(own, "text.words.weight")[0],
        ),
        joint_width=_shape(own, "text.projection")[1],
        head_hidden=None if hidden is None else hidden.shape[0],
    )


def _ratio(image: Mapping[str, Tensor]) -> int:
    hidden, width = _shape(image, "stages.0.0.expand.weight")
    return hidden // width


def _shape(own: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    if name not in own:
        raise WeightsError(f"not a CLIP with a ConvNeXt: nothing stands for {name}")
    return tuple(own[name].shape)
