"""The systems by name. Listing them imports no model code; `build_system` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from segtune.errors import SegtuneError

if TYPE_CHECKING:
    from segtune.backbones.base import FrozenModel
    from segtune.systems.base import System


@dataclass(frozen=True)
class SystemCard:
    """What a system learns, and on which kinds of frozen model (`FrozenModel.kind`)."""

    kinds: tuple[str, ...]
    learns: str


SEEM = ("seem",)
SEEM_AND_SAM = ("seem", "sam")
SEEM_AND_SAMS = ("seem", "sam", "sam3")
CLIP = ("clip-vit",)
TWO_STAGE = ("two-stage",)


SYSTEMS: Mapping[str, SystemCard] = {
    "ssprompt": SystemCard(SEEM_AND_SAMS, "query and class embeddings (SpaPrompt and SemPrompt)"),
    "spaprompt": SystemCard(SEEM_AND_SAMS, "query embeddings"),
    "semprompt": SystemCard(SEEM_AND_SAMS, "class embeddings"),
    "coop": SystemCard(SEEM, "word vectors before the class names"),
    "locn": SystemCard(SEEM, "the word vectors of the class names"),
    "vspl": SystemCard(SEEM_AND_SAM, "the places of point prompts"),
    "seem": SystemCard(SEEM, "nothing: the model as it is"),
    "sam": SystemCard(("sam",), "nothing: masks without names from a grid of clicks"),
    "sam3": SystemCard(("sam3",), "nothing: the model as it is"),
    "rpn": SystemCard(
        CLIP, "relationship prompts per layer (variant=released or paper), linear head"
    ),
    "zegclip": SystemCard(
        CLIP, "static deep prompts (variant=deep or shallow), cross-attention decoder"
    ),
    "vpt": SystemCard(CLIP, "static prompts (variant=deep or shallow), linear head"),
    "lora": SystemCard(CLIP, "low-rank adaptation of the image tower, linear head"),
    "lpm": SystemCard(CLIP, "the linear head alone"),
    "ovseg": SystemCard(TWO_STAGE, "mask prompts: tokens for the blank patches of a region"),
    "simbaseline": SystemCard(TWO_STAGE, "word vectors before the class names"),
    "zegformer": SystemCard(TWO_STAGE, "nothing: ZegFormer's regions and fusion"),
    "two-stage": SystemCard(TWO_STAGE, "nothing: proposals and CLIP as they come"),
    "dense-clip": SystemCard(CLIP, "nothing: patches of the last layer against the words"),
}
"""Name -> what is learned on what."""

ZERO_SHOT: Mapping[str, str] = {
    "clip-vit": "dense-clip",
    "seem": "seem",
    "sam": "sam",
    "sam3": "sam3",
    "two-stage": "two-stage",
}
"""Kind of frozen model -> the system that answers without learned prompts."""


def default_system(kind: str) -> str:
    """Returns the system that is fitted where none is named.

    Example:
        >>> default_system("seem"), default_system("clip-vit")
        ('ssprompt', 'rpn')
    """
    return systems_for(kind)[0]


def systems_for(kind: str) -> list[str]:
    """Returns the systems that learn something on a kind of frozen model.

    Example:
        >>> systems_for("clip-vit")
        ['rpn', 'zegclip', 'vpt', 'lora', 'lpm']
    """
    return [
        name
        for name, card in SYSTEMS.items()
        if kind in card.kinds and not card.learns.startswith("nothing")
    ]


def build_system(
    name: str, backbone: FrozenModel, options: Mapping[str, Any] | None = None, *, seed: int = 0
) -> System:
    """Returns a system with fresh prompts on a frozen backbone.

    Args:
        name: a key of `SYSTEMS`.
        backbone: a frozen model from `segtune.backbones`.
        options: config fields to change, such as {"variant": "paper", "static_tokens": 0}.
        seed: of the initial prompts.

    Raises:
        SegtuneError: unknown system or option, or a system for another kind of model.
    """
    if name not in SYSTEMS:
        raise SegtuneError(f"there is no system {name!r}; choose one of {', '.join(SYSTEMS)}")
    kinds = SYSTEMS[name].kinds
    if backbone.kind not in kinds:
        raise SegtuneError(
            f"{name} runs on a model of kind {' or '.join(kinds)} but {backbone.name} is of kind "
            f"{backbone.kind}; choose a model with --model, or one of "
            f"{', '.join(systems_for(backbone.kind))}"
        )
    model: Any = backbone
    if backbone.kind == "seem":
        from segtune.systems.ssprompt import PromptedSeem
        from segtune.systems.ssprompt.config import configure as configure_seem

        return PromptedSeem(model, configure_seem(name, options), name=name, seed=seed)
    if backbone.kind == "sam":
        from segtune.systems.ssprompt import sam_config
        from segtune.systems.ssprompt.sam import PromptedSam

        sam = sam_config.configure(sam_config.SamPromptConfig, name, options)
        return PromptedSam(model, sam, name=name, seed=seed)
    if backbone.kind == "sam3":
        from segtune.systems.ssprompt import sam_config
        from segtune.systems.ssprompt.sam3 import PromptedSam3

        sam3 = sam_config.configure(sam_config.Sam3PromptConfig, name, options)
        return PromptedSam3(model, sam3, name=name, seed=seed)
    if backbone.kind == "two-stage":
        from segtune.systems.ovseg import PromptedTwoStage
        from segtune.systems.ovseg.config import configure as configure_two_stage

        two_stage = configure_two_stage(name, model, options)
        return PromptedTwoStage(model, two_stage, name=name, seed=seed)
    if name == "dense-clip":
        from segtune.systems.rpn.dense_clip import DenseClip, DenseClipConfig

        return DenseClip(model, DenseClipConfig(**dict(options or {})))
    from segtune.systems.rpn.config import configure
    from segtune.systems.rpn.model import PromptedClip

    return PromptedClip(model, configure(name, options), name=name, seed=seed)
