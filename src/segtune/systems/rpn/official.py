"""Loading released RPN and ZegCLIP checkpoints: key tables, sizes, and the whole model.

`liblacklucy/RPN` and `ZiqinZhou66/ZegCLIP` share the layout of the image tower (`backbone.*`). Two
names mislead: the top-level `prompt_proj` is the pixel knowledge h while `backbone.prompt_proj` is
the prompt projection, and `decode_head.cls_proj` is the first text linear.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from segtune.backbones.clip.files import clip_vit_from_official
from segtune.errors import WeightsError
from segtune.storage.weights.state_dicts import some
from segtune.systems.rpn.config import RELEASED, ZEGCLIP, RPNConfig
from segtune.systems.rpn.model import PromptedClip

ENCODER_KEYS = {
    "backbone.prompt_proj.": "projection.",
    "backbone.prompt_norm.": "norm.",
}
RPN_HEAD_KEYS = {
    "decode_head.vis_proj_1.": "head.image.",
    "decode_head.vis_norm_1.": "head.image_norm.",
    "decode_head.cls_proj.": "head.text.0.",
    "decode_head.cls_proj_1.": "head.text.1.",
    "decode_head.tex_norm_1.": "head.text_norm.",
}
ZEGCLIP_HEAD_KEYS = {
    "decode_head.q_proj.": "head.query.",
    "decode_head.decoder_1.layers.": "head.layers.",
}
PROMPT_TABLES = ("backbone.prompt_embeddings", "backbone.deep_prompt_embeddings", "prompt_proj")
UNUSED = re.compile(
    r"^prompt_norm\.|^decode_head\.decoder_1\.layers\.\d+\.(self_attn|norm1)\.|\.loss_decode\."
)
"""Parameters that the official forward pass never reads."""
TEXT_PREFIX = "text_encoder."
_TOWER = re.compile(
    r"^backbone\.(class_embedding|conv1|positional_embedding|ln_pre|ln_post|proj$|transformer)"
)


def learned_from_official(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns what was learned, under the names of `LearnedPrompts`; parts may be missing.

    Raises:
        WeightsError: a key is neither learned, frozen nor known to be unused; all are listed.
    """
    table = ENCODER_KEYS | RPN_HEAD_KEYS | ZEGCLIP_HEAD_KEYS
    learned: dict[str, Tensor] = {}
    unknown = []
    for key, value in state.items():
        new = next((n + key[len(o) :] for o, n in table.items() if key.startswith(o)), None)
        if UNUSED.search(key) or _TOWER.search(key) or key.startswith(TEXT_PREFIX):
            continue
        if new is not None:
            learned[new.replace(".multihead_attn.", ".")] = value
        elif key not in PROMPT_TABLES:
            unknown.append(key)
    if unknown:
        raise WeightsError(f"keys that neither RPN nor ZegCLIP has: {some(sorted(unknown))}")
    tables = [state[key] for key in PROMPT_TABLES[:2] if key in state]
    if tables:
        learned["static"] = torch.cat(tables)
    if _is_shallow(state):  # the norm exists there but is not used
        learned = {key: value for key, value in learned.items() if not key.startswith("norm.")}
    if "prompt_proj" in state:
        learned["knowledge"] = state["prompt_proj"][None]
    return learned


def _is_shallow(state: Mapping[str, Tensor]) -> bool:
    """Prompts at the input only: one table, and no table for the deeper layers."""
    return PROMPT_TABLES[0] in state and PROMPT_TABLES[1] not in state


def config_from_official(
    state: Mapping[str, Tensor], *, num_layers: int, decoder_heads: int = 8
) -> RPNConfig:
    """Returns the configuration of a released checkpoint, read off its shapes."""
    learned = learned_from_official(state)
    base = RELEASED if "prompt_proj" in state else ZEGCLIP
    values: dict[str, object] = {"decoder_heads": decoder_heads}
    if "static" in learned:
        sets, tokens, _ = learned["static"].shape
        values |= {"static_tokens": tokens}
        if _is_shallow(state):
            values |= {"static_mode": "shallow", "prompt_norm": False}
        elif sets < num_layers:
            starts_at_input = "backbone.prompt_embeddings" in state
            values["static_layers"] = sets if starts_at_input else -sets
    else:
        values |= {"static_tokens": 0, "prompt_projection": False, "prompt_norm": False}
    if "knowledge" in learned:
        side = round(learned["knowledge"].shape[1] ** 0.5)
        values["train_grid"] = (side, side)
    layers = {m[1] for key in learned if (m := re.match(r"head\.layers\.(\d+)\.", key))}
    if layers:
        values["decoder_layers"] = len(layers)
    return RPNConfig(**{**vars(base), **values})


def load_official(
    state: Mapping[str, Tensor],
    *,
    vision_heads: int | None = None,
    decoder_heads: int = 8,
    name: str | None = None,
) -> PromptedClip:
    """Returns a released RPN or ZegCLIP model: frozen tower and learned parameters.

    Args:
        state: the checkpoint's state dict.
        vision_heads, decoder_heads: needed only for other sizes than the published ones.
        name: registry name; read off the keys where None.

    Raises:
        WeightsError: keys are missing, unknown or misshapen.
    """
    tower = {"visual." + k[len("backbone.") :]: v for k, v in state.items() if _TOWER.search(k)}
    text = {k[len(TEXT_PREFIX) :]: v for k, v in state.items() if k.startswith(TEXT_PREFIX)}
    clip = clip_vit_from_official(
        tower | text, vision_heads=vision_heads, name="clip (in checkpoint)"
    )
    config = config_from_official(state, num_layers=clip.num_layers, decoder_heads=decoder_heads)
    system = PromptedClip(clip, config, name=name or ("rpn" if config.relationship else "zegclip"))
    learned = {key: value.float() for key, value in learned_from_official(state).items()}
    system.load_learned(learned)
    return system
