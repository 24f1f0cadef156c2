"""MaskFormers on disk: official files, and folders that carry their own config.

Folders hold `model.safetensors` under the official names, so both go through one loader.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segtune.backbones.maskformer.keys import (
    config_from_official,
    state_from_official,
    state_to_official,
)
from segtune.backbones.maskformer.model import MaskFormer, MaskFormerConfig
from segtune.backbones.reading.key_tables import load_strictly
from segtune.errors import WeightsError
from segtune.storage.json_files import read_settings
from segtune.storage.weights import read_state

MODEL_TYPE = "text-maskformer"
"""`model_type` of our folders; "maskformer" is that of transformers, which has no text space."""


def maskformer_from_official(
    state: Mapping[str, Tensor],
    *,
    num_heads: int = 8,
    groups: int = 32,
    name: str = "maskformer",
) -> MaskFormer:
    """Returns a frozen model from a state dict of OVSeg, SimBaseline (zsseg) or ZegFormer.

    Sizes are read from the tensors; those of the second stage's CLIP are left out.

    Args:
        state: names such as "backbone.patch_embed.proj.weight".
        num_heads, groups: not in the weights; the defaults are those of every published model.

    Raises:
        WeightsError: something is missing, left over, or of another shape; all of it is listed.
    """
    config = config_from_official(state, num_heads=num_heads, groups=groups)
    model = MaskFormer(config, name=name)
    load_strictly(model, state_from_official(state), name)
    return model


def load_maskformer(path: Path | str) -> MaskFormer:
    """Returns a frozen model from a folder of `save_maskformer`, or from an official file.

    Raises:
        FileNotFoundError, WeightsError: nothing is there, or it is no such MaskFormer.
    """
    path = Path(path)
    if not path.is_dir():
        return maskformer_from_official(read_state(path), name=path.stem)
    if not (path / "config.json").is_file():
        raise WeightsError(
            f"{path} has no config.json; a model folder needs config.json and model.safetensors"
        )
    settings = read_settings(path / "config.json")
    if settings.get("model_type") != MODEL_TYPE:
        kind = settings.get("model_type", "nameless")
        raise WeightsError(f"{path} is a {kind!r}, not a MaskFormer with a text space")
    config = MaskFormerConfig.from_dict(settings["sizes"])
    model = MaskFormer(
        config,
        name=settings.get("name", path.name),
        dense_size=settings.get("dense_size", 640),
    )
    state = read_state(path / "model.safetensors")
    load_strictly(model, state_from_official(state), model.name)
    return model


def proposals_from_folder(path: Path, *, title: str) -> MaskFormer:
    """Returns the model of a folder as a source of masks; it brings its own name."""
    return load_maskformer(path)


def save_maskformer(model: MaskFormer, folder: Path, *, half: bool = False) -> Path:
    """Writes a folder that `load_maskformer` reads; returns it.

    Args:
        half: store the weights in float16.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    dtype = torch.float16 if half else torch.float32
    official = state_to_official(model.state_dict(), model.config)
    state = {key: value.to("cpu", dtype).contiguous() for key, value in official.items()}
    save_file(state, folder / "model.safetensors")
    settings: dict[str, Any] = {
        "model_type": MODEL_TYPE,
        "name": model.name,
        "dense_size": model.dense_size,
        "sizes": model.config.to_dict(),
    }
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return folder
