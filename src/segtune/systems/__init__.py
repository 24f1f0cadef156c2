"""The systems by name. Listing them imports no model code; `build_system` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from segtune.errors import SegtuneError

if TYPE_CHECKING:
    from segtune.backbones.clip_vit import ClipVit
    from segtune.systems.base import System

SYSTEMS: Mapping[str, str] = {
    "rpn": "relationship prompts in every layer (variant=released or paper), linear head",
    "zegclip": "static deep prompts (variant=deep or shallow), cross-attention decoder",
    "vpt": "static prompts (variant=deep or shallow), linear head",
    "lora": "low-rank adaptation of the image tower, linear head",
    "lpm": "the linear head alone",
    "dense-clip": "nothing is learned; patches of the last value path against the words",
}
"""Name -> what is learned."""


def build_system(
    name: str, backbone: ClipVit, options: Mapping[str, Any] | None = None, *, seed: int = 0
) -> System:
    """Returns a system with fresh prompts on a frozen backbone.

    Args:
        name: a key of `SYSTEMS`.
        backbone: a frozen model from `segtune.backbones`.
        options: config fields to change, such as {"variant": "paper", "static_tokens": 0}.
        seed: of the initial prompts.

    Raises:
        SegtuneError: unknown system or option.
    """
    if name not in SYSTEMS:
        raise SegtuneError(f"there is no system {name!r}; choose one of {', '.join(SYSTEMS)}")
    if name == "dense-clip":
        from segtune.systems.rpn.dense_clip import DenseClip, DenseClipConfig

        return DenseClip(backbone, DenseClipConfig(**dict(options or {})))
    from segtune.systems.rpn.config import configure
    from segtune.systems.rpn.model import PromptedClip

    return PromptedClip(backbone, configure(name, options), name=name, seed=seed)
