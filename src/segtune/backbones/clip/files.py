"""A CLIP ViT on disk: Hugging Face folders, OpenCLIP exports, state dicts in OpenAI's layout.

Loading is strict: missing and unexpected keys are named.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from segtune.backbones.clip.keys import (
    MASK_PROMPTS,
    bare_clip_state,
    clip_config_from_official,
    clip_from_official,
)
from segtune.backbones.clip.masked import check_prompts
from segtune.backbones.clip.model import ClipVit
from segtune.backbones.reading.preprocessing import stated_normalisation
from segtune.errors import WeightsError
from segtune.ops.normalisation import CLIP, Normalisation
from segtune.storage.json_files import read_settings
from segtune.storage.weights import load_tokenizer, read_state
from segtune.storage.weights.state_dicts import matched, some


def load_clip(path: Path, *, tokenizer: str | Path | None = None) -> ClipVit:
    """Returns the CLIP of a Hugging Face folder, or of an OpenCLIP export.

    Args:
        tokenizer: folder or hub name; None takes that of the folder.
    """
    if (path / "open_clip_config.json").is_file():
        return load_open_clip(path, tokenizer=tokenizer)
    config = CLIPConfig.from_dict(read_settings(path / "config.json"))
    file = path / "model.safetensors"
    if not file.is_file():
        file = path / "pytorch_model.bin"
    model = CLIPModel(config)
    _load_strictly(model, {key: v.float() for key, v in read_state(file).items()}, path.name)
    return ClipVit(
        model,
        load_tokenizer(tokenizer or path),
        name=path.name,
        normalisation=stated_normalisation(path) or CLIP,
    )


def load_open_clip(path: Path, *, tokenizer: str | Path | None = None) -> ClipVit:
    """Returns the CLIP of an OpenCLIP export: a folder with open_clip_config.json."""
    settings = read_settings(path / "open_clip_config.json")
    files = [path / "open_clip_model.safetensors", path / "open_clip_pytorch_model.bin"]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise WeightsError(f"{path} has no {files[0].name}; an OpenCLIP export has it")
    model, preprocess = settings["model_cfg"], settings.get("preprocess_cfg", {})
    vision = model["vision_cfg"]
    head_width = vision.get("head_width", 64)
    return clip_vit_from_official(
        read_state(file),
        name=path.name,
        quick_gelu=model.get("quick_gelu", False),
        vision_heads=vision["width"] // head_width if "width" in vision else None,
        text_heads=model.get("text_cfg", {}).get("heads"),
        tokenizer=load_tokenizer(tokenizer or path),
        normalisation=Normalisation.of_unit(
            preprocess.get("mean", CLIP.unit_mean), preprocess.get("std", CLIP.unit_std)
        ),
    )


def clip_vit_from_official(
    state: Mapping[str, Tensor],
    *,
    name: str = "clip",
    quick_gelu: bool = True,
    vision_heads: int | None = None,
    text_heads: int | None = None,
    tokenizer: Any | None = None,
    normalisation: Normalisation = CLIP,
) -> ClipVit:
    """Returns a frozen CLIP from a state dict in the OpenAI layout; either tower may be missing.

    Args:
        state: keys such as `visual.conv1.weight`, `token_embedding.weight`; also with "module."
            before them, or "clip_adapter.clip_model." as in an OVSeg checkpoint. Mask prompts among
            them become `ClipVit.mask_prompts`, in the depth that they have.
        quick_gelu: False for OpenCLIP models trained with the plain GELU.
        vision_heads, text_heads: needed only where heads are not 64 wide.
    """
    state = bare_clip_state(state)
    sizes = clip_config_from_official(
        state, quick_gelu=quick_gelu, vision_heads=vision_heads, text_heads=text_heads
    )
    if not sizes:
        raise WeightsError(f"{name}: no CLIP ViT tower found among {len(state)} keys")
    absent = dict.fromkeys({"vision_config", "text_config"} - set(sizes), _PLACEHOLDER)
    values: dict[str, Any] = {**sizes, **absent}
    values["projection_dim"] = next(iter(sizes.values()))["projection_dim"]
    model: Any = CLIPModel(CLIPConfig(**values))
    converted = {key: value.float() for key, value in clip_from_official(state).items()}
    if "text_config" in absent:
        model.text_model = model.text_projection = None
    if "vision_config" in absent:
        model.vision_model = model.visual_projection = None
    converted.setdefault("logit_scale", torch.tensor(100.0).log())
    _load_strictly(model, converted, name)
    prompts = state[MASK_PROMPTS].float() if MASK_PROMPTS in state else None
    clip = ClipVit(model, tokenizer, name=name, normalisation=normalisation, mask_prompts=prompts)
    if prompts is not None:
        check_prompts(clip, prompts)
    return clip


_PLACEHOLDER = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
}
"""Sizes of a tower that a file does not have; the tower is removed after construction."""


def _load_strictly(model: CLIPModel, state: Mapping[str, Tensor], name: str) -> None:
    own = model.state_dict()
    state = {key: value for key, value in state.items() if not key.endswith("position_ids")}
    state = matched(state, own)
    missing, extra = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if missing or extra:
        raise WeightsError(
            f"{name} is not a CLIP ViT of the size its config says: "
            f"missing {some(missing) or 'nothing'}, unexpected {some(extra) or 'nothing'}"
        )
    wrong = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if own[key].shape != state[key].shape
    ]
    if wrong:
        raise WeightsError(f"{name} does not fit its config: {some(wrong)}")
    model.load_state_dict(dict(state))


def save_clip_vit(clip: ClipVit, folder: Path | str) -> Path:
    """Writes config, weights in full precision, tokenizer and normalisation; returns the folder.

    An older folder is replaced when all is written. Mask prompts have their own file
    (`segtune.prompts`).
    """
    folder = Path(folder)
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    clip.model.config.save_pretrained(temporary)
    state = {key: value.contiguous() for key, value in clip.model.state_dict().items()}
    save_file(state, temporary / "model.safetensors", metadata={"format": "pt"})
    if clip.tokenizer is not None:
        clip.tokenizer.save_pretrained(temporary)
    side = clip.image_size
    preprocessing = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": side},
        "crop_size": {"height": side, "width": side},
        "image_mean": list(clip.normalisation.unit_mean),
        "image_std": list(clip.normalisation.unit_std),
        "resample": 3,
    }
    text = json.dumps(preprocessing, indent=2) + "\n"
    (temporary / "preprocessor_config.json").write_text(text, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    return folder
