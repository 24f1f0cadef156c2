"""Pairs of a proposal network and a CLIP on disk: official files, folders, and two names.

| given | is |
|---|---|
| `maskformer-tiny+clip-vit-tiny` | any proposals and any CLIP, by names or paths |
| a checkpoint of ov-seg or zsseg | both stages, with the prompts that came with them |
| a checkpoint of ZegFormer | the first stage alone; `FILE+CLIP` pairs it |
| a folder with `config.json` | `{"model_type": "two-stage", "proposals": NAME, "clip": NAME}` |
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from segtune.backbones.cards import CARDS
from segtune.backbones.clip.files import clip_vit_from_official
from segtune.backbones.clip.keys import SEGMENTER_PREFIX
from segtune.backbones.clip.model import ClipVit
from segtune.backbones.encoders.resnet import ResNetConfig
from segtune.backbones.hub import load_backbone
from segtune.backbones.maskformer.files import maskformer_from_official
from segtune.backbones.maskformer.model import MaskFormer
from segtune.backbones.two_stage.model import TwoStage
from segtune.backbones.two_stage.proposal_files import load_proposals
from segtune.backbones.two_stage.proposals import ProposalModel
from segtune.backbones.two_stage.spec import Recipe
from segtune.errors import WeightsError
from segtune.storage.json_files import read_settings

MODEL_TYPE = "two-stage"
"""`model_type` of our folders."""
KEYS = {"model_type", "proposals", "clip", "name", "recipe", "dense_size", "templates", "settings"}
"""What the `config.json` of a folder may hold."""
RESNET_SETTINGS = {"threshold": 0.5}
"""In which OVSeg on ResNet-101 differs from OVSeg on Swin-B."""
RESNET_SIZE = 512
WORD_PROMPTS = "clip_adapter.prompt_learner."
REGION_WORD_PROMPTS = "_region_clip_adapter.prompt_learner."


def load_pair(proposals: str, clip: str, *, tokenizer: str | Path | None = None) -> TwoStage:
    """Returns the pair of any proposals with any CLIP; the CLIP of a two-stage model will do.

    Args:
        proposals: what `proposal_files.load_proposals` reads.
        clip: name, folder or file.
        tokenizer: for CLIP files without one.

    Raises:
        FileNotFoundError, WeightsError: one of the two is not there, or is something else.
    """
    first = load_proposals(proposals, device="cpu")
    return TwoStage(first, _load_clip(clip, tokenizer), recipe=_recipe_of(first))


def load_two_stage(path: Path, *, tokenizer: str | Path | None = None) -> TwoStage:
    """Returns the pair that the `config.json` of a folder names; paths in it start at the folder.

    Raises:
        WeightsError: a part is missing, or an entry is unknown.
    """
    settings = read_settings(path / "config.json")
    if (extra := sorted(set(settings) - KEYS)) or not {"proposals", "clip"} <= set(settings):
        raise WeightsError(
            f"{path / 'config.json'} needs proposals and clip, and may have "
            f"{', '.join(sorted(KEYS - {'proposals', 'clip'}))}"
            + (f"; it has {', '.join(extra)}" if extra else "")
        )

    proposals = load_proposals(_part(path, "proposals", settings), device="cpu")
    return TwoStage(
        proposals,
        _load_clip(_part(path, "clip", settings), tokenizer),
        name=settings.get("name", path.name),
        recipe=settings.get("recipe", _recipe_of(proposals)),
        dense_size=settings.get("dense_size"),
        templates=settings.get("templates"),
        settings=settings.get("settings"),
    )


def _part(folder: Path, part: str, settings: Mapping[str, Any]) -> str:
    """Returns the name or place of a part of the pair in a folder.

    Raises:
        WeightsError: it is no text, or a pair again, which would have no end.
    """
    name = settings[part]
    config = folder / "config.json"
    if not isinstance(name, str) or not name.strip():
        raise WeightsError(f"{config} names {name!r} as {part}; expected a model or a place")
    place = folder / name
    if name in CARDS and CARDS[name].is_bundled and not place.exists():
        return name
    if not place.exists() and _is_downloaded(name):
        return name
    if not place.exists():
        raise WeightsError(
            f"{config} names {name[:80]!r} as {part}, which is neither bundled, nor downloaded, "
            "nor a place beside it; load both by name, which fetches them: --model PROPOSALS+CLIP"
        )
    inner = place / "config.json"
    if inner.is_file() and read_settings(inner).get("model_type") == MODEL_TYPE:
        raise WeightsError(f"{config} names a pair as {part}; name the {part} of that pair instead")
    return str(place)


def _is_downloaded(name: str) -> bool:
    """Whether a model of the hub is on this machine; a folder of a stranger fetches nothing."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except HFValidationError:
        return False


def two_stage_from_official(
    state: Mapping[str, Tensor], *, name: str, tokenizer: Any | None = None
) -> TwoStage:
    """Returns both stages of an ov-seg or zsseg checkpoint.

    Args:
        state: the whole file. Learned words of SimBaseline and mask prompts of OVSeg come along.
        tokenizer: a loaded one; None gives a model that reads no words.

    Raises:
        WeightsError: tensors are missing or left over, or there is no CLIP in the file.
    """
    proposals = maskformer_from_official(state, name=name)
    if not any(key.startswith(SEGMENTER_PREFIX) for key in state):
        raise WeightsError(
            f"{name} holds the proposal network of ZegFormer without its CLIP; add one with "
            "--model FILE+openai/clip-vit-base-patch16"
        )
    clip = clip_vit_from_official(state, name=f"clip of {name}", tokenizer=tokenizer)
    words, for_regions = _word_prompts(state)
    is_ovseg = not words and not any("region_clip_adapter." in key for key in state)
    on_resnet = isinstance(proposals.config.image_encoder, ResNetConfig)
    settings: dict[str, Any] = dict(RESNET_SETTINGS) if is_ovseg and on_resnet else {}
    if words:
        settings["words_for"] = "regions" if for_regions else "both"
    return TwoStage(
        proposals,
        clip,
        name=name,
        recipe="ovseg" if is_ovseg else "simbaseline",
        word_prompts=words,
        dense_size=RESNET_SIZE if is_ovseg and on_resnet else None,
        settings=settings,
    )


def _word_prompts(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], bool]:
    """Returns SimBaseline's learned words by name, and whether they are for regions alone."""
    for prefix in (WORD_PROMPTS, REGION_WORD_PROMPTS):
        if f"{prefix}prefix_prompt" in state or f"{prefix}suffix_prompt" in state:
            width = state[f"{prefix}start_signal"].shape[-1]
            empty = state[f"{prefix}start_signal"].new_zeros(0, width)
            words = {
                name: state.get(f"{prefix}{name}_prompt", empty).float()
                for name in ("prefix", "suffix")
            }
            return words, prefix == REGION_WORD_PROMPTS
    return {}, False


def _recipe_of(proposals: ProposalModel) -> Recipe:
    """Returns the system that a proposal network is of: ZegFormer's has a linear head."""
    is_linear = isinstance(proposals, MaskFormer) and proposals.config.class_hidden is None
    return "zegformer" if is_linear else "ovseg"


def _load_clip(name: str, tokenizer: str | Path | None) -> ClipVit:
    model = load_backbone(name, tokenizer=tokenizer, device="cpu")
    if isinstance(model, TwoStage):
        model = model.clip
    if not isinstance(model, ClipVit):
        raise WeightsError(f"{name} is a {model.kind}; the second stage must be a CLIP ViT")
    return model
